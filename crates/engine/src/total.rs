//! Makes the SQL of a binding total: whatever stands in a row, an expression gives a value or NULL, and never an error or a panic.
//!
//! An error would tell that one person's row is there, and `DataFusion`'s quote the content of the cell. So, after types are coerced:
//! each `CAST` becomes `TRY_CAST`; arithmetic becomes checked arithmetic that is NULL where it overflows or divides by 0; each function is
//! wrapped, and where it fails on a batch the rows that make it fail are found by halving, and are NULL. What cannot be made total is
//! refused before a row is read ([`check_total`]).

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, new_null_array};
use arrow::compute::concat;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// See the module. It must come after type coercion, which adds casts of its own.
#[derive(Debug)]
pub(crate) struct MakeTotal;

impl AnalyzerRule for MakeTotal {
    fn name(&self) -> &'static str {
        "make_total"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let total = expr.transform_up(|expr| make_total(expr, &schema))?;
                Ok(total.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })
        .map(|total| total.data)
    }
}

fn make_total(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Cast(cast) => Transformed::yes(Expr::TryCast(TryCast { expr: cast.expr, field: cast.field })),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(op) => {
            let result = Expr::BinaryExpr(BinaryExpr { left: left.clone(), op, right: right.clone() }).get_type(schema)?;
            let function = ScalarUDF::new_from_impl(TotalArithmetic { op, result, signature: Signature::any(2, Volatility::Immutable) });
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: Arc::new(function), args: vec![*left, *right] }))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if !is_total(&func) => {
            let function = ScalarUDF::new_from_impl(TotalFunction { inner: func });
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: Arc::new(function), args }))
        }
        other => Transformed::no(other),
    })
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

/// Functions that only choose between their arguments, and our own.
fn is_total(function: &ScalarUDF) -> bool {
    matches!(function.name(), "coalesce" | "nvl" | "nvl2" | "nullif")
        || function.inner().is::<TotalFunction>()
        || function.inner().is::<TotalArithmetic>()
}

/// Refuses an optimised plan in which something may still fail on a row. Depends on the SQL and on types only.
pub(crate) fn check_total(plan: &LogicalPlan) -> Result<(), String> {
    let mut fault = None;
    let walked = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                fault = match expr {
                    Expr::Cast(_) => Some(format!("{expr} may fail on a row; write TRY_CAST")),
                    Expr::BinaryExpr(binary) if is_arithmetic(binary.op) => Some(format!("{expr} may fail on a row")),
                    Expr::ScalarFunction(call) if !is_total(&call.func) => Some(format!("the function {} may fail on a row", call.name())),
                    Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Some(format!("{expr} mixes rows of several persons")),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                Ok(TreeNodeRecursion::Stop)
            })
        })
    });
    match (walked, fault) {
        (Err(error), _) => Err(error.strip_backtrace()),
        (Ok(_), Some(fault)) => Err(fault),
        (Ok(_), None) => Ok(()),
    }
}

/// A function that gives NULL for the rows on which the wrapped one fails.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TotalFunction {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for TotalFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(arguments)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options } = call;
        let result = return_field.data_type().clone();
        let invoke = |args: &[ColumnarValue], number_rows| {
            let (arg_fields, return_field, config_options) = (arg_fields.clone(), Arc::clone(&return_field), Arc::clone(&config_options));
            self.inner.invoke_with_args(ScalarFunctionArgs { args: args.to_vec(), arg_fields, number_rows, return_field, config_options })
        };
        totally(&args, number_rows, &result, &invoke)
    }
}

/// Checked arithmetic; NULL where it overflows or divides by 0.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TotalArithmetic {
    op: Operator,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for TotalArithmetic {
    fn name(&self) -> &'static str {
        match self.op {
            Operator::Plus => "total_add",
            Operator::Minus => "total_subtract",
            Operator::Multiply => "total_multiply",
            Operator::Divide => "total_divide",
            _ => "total_remainder",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let apply = |args: &[ColumnarValue], rows: usize| {
            let [left, right] = args else { return internal_err!("arithmetic has two sides") };
            let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
            Ok(ColumnarValue::Array(match self.op {
                Operator::Plus => numeric::add(&left, &right)?,
                Operator::Minus => numeric::sub(&left, &right)?,
                Operator::Multiply => numeric::mul(&left, &right)?,
                Operator::Divide => numeric::div(&left, &right)?,
                _ => numeric::rem(&left, &right)?,
            }))
        };
        totally(&call.args, call.number_rows, &self.result, &apply)
    }
}

/// Calls a function on a batch; where it fails or panics, on its halves, down to the rows that make it fail, which become NULL.
fn totally(
    args: &[ColumnarValue],
    rows: usize,
    result: &DataType,
    invoke: &dyn Fn(&[ColumnarValue], usize) -> Result<ColumnarValue>,
) -> Result<ColumnarValue> {
    if let Ok(Ok(value)) = catch_unwind(AssertUnwindSafe(|| invoke(args, rows))) {
        return Ok(value);
    }
    let scalars = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    if scalars {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from(result)?));
    }
    if rows <= 1 {
        return Ok(ColumnarValue::Array(new_null_array(result, rows)));
    }
    let half = rows / 2;
    let part = |offset: usize, length: usize| {
        let args: Vec<ColumnarValue> = args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(offset, length)),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            })
            .collect();
        totally(&args, length, result, invoke)?.into_array(length)
    };
    let (first, second) = (part(0, half)?, part(half, rows - half)?);
    let both: [&dyn Array; 2] = [&first, &second];
    Ok(ColumnarValue::Array(concat(&both)?))
}

#[cfg(test)]
mod tests;
