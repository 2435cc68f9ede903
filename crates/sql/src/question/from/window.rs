//! Windows over one person's rows in one partition.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::relation::{Fold, NullPlace, Relation, RowOrder, WindowFunction, Windowed};
use commun_domain::plan::{Condition, Value};
use sqlparser::ast::{
    Expr, Function, OrderByExpr, OrderByOptions, SelectItem, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::close::Closing;
use super::group::{Folds, calls, expression_of};
use crate::question::expression::{arguments, called};
use crate::question::literal::{Written, written};
use crate::question::scope::{Meaning, Scope};
use crate::question::types::{Type, Typed};
use crate::refuse::{invalid, not_private, place_of, place_of_name};

/// Every window function that is read, beside COUNT, SUM, AVG, MIN and MAX.
pub const WINDOW_FUNCTIONS: &[&str] = &["dense_rank", "first_value", "lag", "lead", "rank", "row_number"];

/// Most rows that LAG and LEAD look away.
const MAX_SHIFT: i32 = 1_000;

impl Scope<'_> {
    /// The scope after the windows of SELECT; the same scope when there are none.
    pub(super) fn windowed(self, items: &[SelectItem], at: Option<Position>) -> Result<Self, Refusal> {
        let calls = calls(items.iter().filter_map(expression_of), |function| function.over.is_some());
        if calls.is_empty() {
            return Ok(self);
        }
        let mut closing = Closing::new("c");
        let (sources, mut computed) = (closing.sources(&self), closing.computed(&self));
        // Rows keep everything that is visible; what nothing reads is taken out of the plan in the end.
        let mut folds = Folds { closing: Closing::new("w"), all: Vec::new() };
        let mut columns: Vec<Windowed> = Vec::new();
        for function in calls {
            let typed = self.window(&function, &mut closing, &mut folds, &mut columns, at)?;
            computed.push((Expr::Function(function), typed));
        }
        let relation = Relation::Window { input: Box::new(closing.select(&self)), columns };
        let max_rows = self.max_rows;
        Ok(self.replaced(relation, max_rows).with_sources(sources, computed))
    }

    /// A window function as an expression over the windows' columns.
    fn window(
        &self,
        function: &Function,
        closing: &mut Closing,
        folds: &mut Folds,
        columns: &mut Vec<Windowed>,
        at: Option<Position>,
    ) -> Result<Typed, Refusal> {
        let at = place_of_name(&function.name).or(at);
        let (keys, order) = self.over(function, closing, at)?;
        let name = called(function).unwrap_or_default();
        let mut add = |function: WindowFunction| {
            let wanted = Windowed { name: String::new(), function, keys: keys.clone(), order: order.clone() };
            let known = columns.iter().position(|other| Windowed { name: String::new(), ..other.clone() } == wanted);
            let index = known.unwrap_or_else(|| {
                columns.push(Windowed { name: format!("w{}", columns.len()), ..wanted });
                columns.len() - 1
            });
            Value::Column(columns[index].name.clone())
        };
        if !WINDOW_FUNCTIONS.contains(&name.as_str()) {
            // The aggregate's own expressions become columns of the rows, as the window's do.
            std::mem::swap(&mut folds.closing, closing);
            let typed = self
                .fold(function, folds, &mut |_, fold: Fold, condition: Option<Condition>| add(WindowFunction::Fold { fold, condition }));
            std::mem::swap(&mut folds.closing, closing);
            return typed;
        }
        let plain = Function { over: None, ..function.clone() };
        let Some(args) = arguments(&plain) else {
            return Err(not_private(at, format!("this form of {name} is not read"), "write its arguments alone"));
        };
        if order.is_empty() {
            return Err(invalid(at, format!("{name} needs an order"), "write ORDER BY in OVER (...)"));
        }
        let number = |value: Value| Typed::number(value, (1, i128::from(self.relation.most_rows())), 0, at);
        match (name.as_str(), args.as_slice()) {
            ("row_number", []) => number(add(WindowFunction::RowNumber)),
            ("rank", []) => number(add(WindowFunction::Rank)),
            ("dense_rank", []) => number(add(WindowFunction::DenseRank)),
            ("first_value", [arg]) => {
                let typed = self.typed(arg, 1)?;
                Ok(Typed { value: add(WindowFunction::First(closing.value(&typed.value))), of: typed.of })
            }
            ("lag" | "lead", [arg, rest @ ..]) if rest.len() <= 1 => {
                let by = match rest.first() {
                    None => Some(1),
                    Some(by) => match written(by) {
                        Some(Written::Number { digits, negative: false }) => digits.parse().ok().filter(|by| (1..=MAX_SHIFT).contains(by)),
                        _ => None,
                    },
                };
                let Some(by) = by else {
                    let at = rest.first().and_then(|by| place_of(by)).or(at);
                    return Err(invalid(at, format!("{name} looks 1 to {MAX_SHIFT} rows away"), "write a plain whole number"));
                };
                let typed = self.typed(arg, 1)?;
                let value = closing.value(&typed.value);
                let by = if name == "lag" { -by } else { by };
                Ok(Typed { value: add(WindowFunction::Shift { value, by }), of: typed.of })
            }
            _ => Err(invalid(at, format!("{name} does not take these arguments"), "the reference lists the window functions")),
        }
    }

    /// `OVER (...)`: further keys, and the order.
    fn over(&self, function: &Function, closing: &mut Closing, at: Option<Position>) -> Result<(Vec<Value>, Vec<RowOrder>), Refusal> {
        let Some(WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by, window_frame })) = &function.over else {
            return Err(not_private(at, "named windows are not read", "write OVER (PARTITION BY ... ORDER BY ...)"));
        };
        if window_frame.as_ref().is_some_and(|frame| !is_usual(frame)) {
            let hint = "leave it out: with an order it is RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW, without one the whole window";
            return Err(not_private(at, "this frame of a window is not read", hint));
        }
        let (mut unit, mut partition, mut keys) = (false, false, Vec::new());
        for key in partition_by {
            match self.column(key)? {
                Some(Meaning::Unit) => unit = true,
                Some(Meaning::Partition) => partition = true,
                Some(Meaning::Open(open)) => return Err(open.refused_of_persons(place_of(key).or(at))),
                Some(Meaning::Typed(typed)) => keys.push(closing.value(&typed.value)),
                None => keys.push(closing.value(&self.typed(key, 1)?.value)),
            }
        }
        if !unit || !partition {
            let (unit, partition) = (&self.contract.unit_column, &self.contract.partition_column);
            return Err(not_private(
                at,
                "a window looks at the rows of one person in one partition",
                format!("write OVER (PARTITION BY {unit}, {partition} ...)"),
            ));
        }
        let mut order = Vec::new();
        for OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill } in order_by {
            if with_fill.is_some() {
                return Err(not_private(place_of(expr), "WITH FILL is not read", "remove it"));
            }
            if let Some(Meaning::Unit | Meaning::Partition) = self.column(expr)? {
                // One person in one partition: all rows are equal in it.
                continue;
            }
            let descending = *asc == Some(false);
            let nulls = if nulls_first.unwrap_or(descending) { NullPlace::First } else { NullPlace::Last };
            let typed = orderly(self.typed(expr, 1)?, place_of(expr))?;
            order.push(RowOrder { value: closing.value(&typed.value), descending, nulls });
        }
        Ok((keys, order))
    }
}

/// A value whose integers are in its order: texts are ordered by their bytes, not by their list.
fn orderly(typed: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let Type::Text { values, .. } = &typed.of else { return Ok(typed) };
    let mut sorted: Vec<&str> = values.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let rank = |text: &str| i64::try_from(sorted.binary_search(&text).ok()?).ok();
    typed.map_number(0, rank, at).unwrap_or_else(|| Ok(typed.clone()))
}

/// The frame that is meant when there is none.
fn is_usual(frame: &WindowFrame) -> bool {
    let WindowFrame { units, start_bound, end_bound } = frame;
    *units == WindowFrameUnits::Range
        && *start_bound == WindowFrameBound::Preceding(None)
        && matches!(end_bound, None | Some(WindowFrameBound::CurrentRow))
}
