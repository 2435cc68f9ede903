//! WHERE: the partitions that are read, and a total condition on one row's own columns.

use commun_domain::Refusal;
use commun_domain::calendar::Period;
use commun_domain::contract::{Column, ColumnType};
use commun_domain::error::Position;
use commun_domain::plan::{CompareOp, Predicate};
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::compile::MAX_PARTITIONS;
use crate::literal::{Values, Written, written};
use crate::names::{Name, Scope};
use crate::refuse::{bare, invalid, not_private, place_of};

/// Deepest nesting of a condition after parentheses and chains are flattened.
pub const MAX_PREDICATE_DEPTH: usize = 24;

/// Most items of one `IN (...)`.
pub const MAX_LIST_ITEMS: usize = 5_000;

/// Lowers WHERE, and remembers the columns that it used and where.
#[derive(Debug)]
pub(crate) struct Conditions<'s, 'a> {
    scope: &'s Scope<'a>,
    pub(crate) uses: Vec<(&'a Column, Option<Position>)>,
}

impl<'s, 'a> Conditions<'s, 'a> {
    pub(crate) fn new(scope: &'s Scope<'a>) -> Self {
        Self { scope, uses: Vec::new() }
    }

    /// The sorted partitions and the rest of the condition. `missing` is the place for "no partition is asked for".
    pub(crate) fn lower(&mut self, filter: Option<&Expr>, missing: Option<Position>) -> Result<(Vec<Period>, Option<Predicate>), Refusal> {
        let mut partitions: Option<Vec<Period>> = None;
        let mut parts = Vec::new();
        for conjunct in filter.map(|filter| operands(filter, &BinaryOperator::And)).unwrap_or_default() {
            match self.partitions(conjunct)? {
                Some(_) if partitions.is_some() => {
                    let hint = format!("write one restriction: {}", self.example());
                    return Err(invalid(place_of(conjunct), "the partition is restricted twice", hint));
                }
                Some(periods) => partitions = Some(periods),
                None => parts.push(self.condition(conjunct, 2)?),
            }
        }
        let Some(mut partitions) = partitions else {
            let column = &self.scope.contract.partition_column;
            return Err(not_private(
                missing,
                format!("the question does not say which partitions of {column} it reads, and each is charged"),
                format!("restrict them at the top of WHERE: {}", self.example()),
            ));
        };
        partitions.sort_unstable();
        partitions.dedup();
        let filter = if parts.len() > 1 { Some(Predicate::And(parts)) } else { parts.pop() };
        Ok((partitions, filter))
    }

    fn example(&self) -> String {
        let contract = self.scope.contract;
        let column = &contract.partition_column;
        let (first, last) = (contract.calendar.format(contract.first_period), contract.calendar.format(contract.last_period));
        format!("{column} = '{first}', {column} IN ('{first}', '{last}') or {column} BETWEEN '{first}' AND '{last}'")
    }

    /// The periods of a conjunct that restricts the partition; `None` when it is about something else.
    fn partitions(&self, conjunct: &Expr) -> Result<Option<Vec<Period>>, Refusal> {
        let is_partition = |expr: &Expr| Ok::<_, Refusal>(matches!(self.scope.column(expr)?, Some(Name::Partition)));
        let periods = match bare(conjunct) {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                if is_partition(left)? {
                    vec![self.period(right)?]
                } else if is_partition(right)? {
                    vec![self.period(left)?]
                } else {
                    return Ok(None);
                }
            }
            Expr::InList { expr, list, negated: false } if is_partition(expr)? => {
                check_list(list, expr)?;
                list.iter().map(|item| self.period(item)).collect::<Result<_, _>>()?
            }
            Expr::Between { expr, negated: false, low, high } if is_partition(expr)? => {
                let (first, last) = (self.period(low)?, self.period(high)?);
                if last < first {
                    return Err(invalid(place_of(low), "the first period is after the last", "exchange them"));
                }
                (first.0..=last.0).take(MAX_PARTITIONS + 1).map(Period).collect()
            }
            _ => return Ok(None),
        };
        if periods.len() > MAX_PARTITIONS {
            return Err(invalid(place_of(conjunct), format!("more than {MAX_PARTITIONS} partitions"), "ask fewer; each is charged"));
        }
        Ok(Some(periods))
    }

    fn period(&self, expr: &Expr) -> Result<Period, Refusal> {
        let contract = self.scope.contract;
        let column = &contract.partition_column;
        let at = place_of(expr);
        let period = match written(expr) {
            Some(Written::Text(text)) => contract.calendar.parse(text),
            Some(Written::Number { .. } | Written::Boolean(_) | Written::Null) => None,
            None => return Err(unsupported(expr)),
        };
        let Some(period) = period else {
            return Err(invalid(at, format!("this is no period of {column}"), format!("write it like {}", contract.calendar.example())));
        };
        if !(contract.first_period..=contract.last_period).contains(&period) {
            let (first, last) = (contract.calendar.format(contract.first_period), contract.calendar.format(contract.last_period));
            let message = format!("{} has no partition {}", contract.name, contract.calendar.format(period));
            return Err(invalid(at, message, format!("ask {first} to {last}")));
        }
        Ok(period)
    }

    fn condition(&mut self, expr: &Expr, depth: usize) -> Result<Predicate, Refusal> {
        if depth > MAX_PREDICATE_DEPTH {
            return Err(invalid(place_of(expr), format!("the condition is nested deeper than {MAX_PREDICATE_DEPTH}"), "write it flat"));
        }
        let expr = bare(expr);
        match expr {
            Expr::BinaryOp { left: _, op: op @ (BinaryOperator::And | BinaryOperator::Or), right: _ } => {
                let parts = operands(expr, op).into_iter().map(|part| self.condition(part, depth + 1)).collect::<Result<_, _>>()?;
                Ok(if *op == BinaryOperator::And { Predicate::And(parts) } else { Predicate::Or(parts) })
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(self.condition(expr, depth + 1)?)),
            Expr::BinaryOp { left, op, right } => self.comparison(expr, left, op, right),
            Expr::InList { expr: tested, list, negated } => {
                let column = self.tested(tested)?;
                check_list(list, tested)?;
                let values = Values::of(self.scope, column);
                let literals = list.iter().map(|item| values.literal(item)).collect::<Result<_, _>>()?;
                let inside = Predicate::InList { column: column.name.clone(), literals };
                Ok(if *negated { not(inside) } else { inside })
            }
            Expr::Between { expr: tested, negated, low, high } => {
                let column = self.tested(tested)?;
                check_order(column, place_of(tested))?;
                let values = Values::of(self.scope, column);
                let bound = |op, literal| Predicate::Compare { column: column.name.clone(), op, literal };
                let inside = Predicate::And(vec![bound(CompareOp::Ge, values.literal(low)?), bound(CompareOp::Le, values.literal(high)?)]);
                Ok(if *negated { not(inside) } else { inside })
            }
            Expr::IsNull(tested) => Ok(Predicate::IsNull { column: self.tested(tested)?.name.clone() }),
            Expr::IsNotNull(tested) => Ok(not(Predicate::IsNull { column: self.tested(tested)?.name.clone() })),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let column = self.tested(expr)?;
                if column.column_type != ColumnType::Boolean {
                    let message = format!("{} alone is no condition", column.name);
                    return Err(invalid(place_of(expr), message, "compare it with a value; only a boolean column stands alone"));
                }
                let literal = commun_domain::plan::Literal::Boolean(true);
                Ok(Predicate::Compare { column: column.name.clone(), op: CompareOp::Eq, literal })
            }
            Expr::Value(value) => match &value.value {
                Value::Boolean(value) => Ok(Predicate::Constant(*value)),
                _ => Err(invalid(place_of(expr), "a value alone is no condition", "compare a column with it")),
            },
            _ => Err(unsupported(expr)),
        }
    }

    fn comparison(&mut self, whole: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Predicate, Refusal> {
        let Some(op) = compare_op(op) else { return Err(unsupported(whole)) };
        let (tested, op, constant) = match (self.scope.column(left)?, self.scope.column(right)?) {
            (Some(_), None) => (left, op, right),
            (None, Some(_)) => (right, mirrored(op), left),
            (Some(_), Some(_)) => {
                return Err(not_private(
                    place_of(left),
                    "two columns are compared",
                    "compare a column with a value; the data contract may offer the comparison as a column",
                ));
            }
            (None, None) => {
                let odd = [left, right].into_iter().find(|side| written(side).is_none());
                return Err(odd.map_or_else(|| not_private(place_of(left), "two values are compared", "write TRUE or FALSE"), unsupported));
            }
        };
        let column = self.tested(tested)?;
        let literal = Values::of(self.scope, column).literal(constant)?;
        if !matches!(op, CompareOp::Eq | CompareOp::Ne) {
            check_order(column, place_of(tested))?;
        }
        Ok(Predicate::Compare { column: column.name.clone(), op, literal })
    }

    /// The column that a condition may be about.
    fn tested(&mut self, expr: &Expr) -> Result<&'a Column, Refusal> {
        let at = place_of(expr);
        match self.scope.column(expr)? {
            Some(Name::Column(column)) => {
                self.uses.push((column, at));
                Ok(column)
            }
            Some(Name::Unit) => Err(not_private(
                at,
                format!("{} names people, and a condition on it would single one out", self.scope.contract.unit_column),
                "remove the condition; COUNT(DISTINCT unit) counts people",
            )),
            Some(Name::Partition) => Err(not_private(
                at,
                "the partition is restricted once, at the top of WHERE, by =, IN or BETWEEN",
                format!("join it to the rest by AND: {}", self.example()),
            )),
            None => Err(unsupported(expr)),
        }
    }
}

/// The operands of a chain of one operator, in order, parentheses removed. A loop, because chains are left-deep.
fn operands<'e>(expr: &'e Expr, chain: &BinaryOperator) -> Vec<&'e Expr> {
    let (mut todo, mut found) = (vec![expr], Vec::new());
    while let Some(next) = todo.pop() {
        match bare(next) {
            Expr::BinaryOp { left, op, right } if op == chain => todo.extend([&**right, &**left]),
            other => found.push(other),
        }
    }
    found
}

fn not(part: Predicate) -> Predicate {
    Predicate::Not(Box::new(part))
}

fn compare_op(op: &BinaryOperator) -> Option<CompareOp> {
    Some(match op {
        BinaryOperator::Eq => CompareOp::Eq,
        BinaryOperator::NotEq => CompareOp::Ne,
        BinaryOperator::Lt => CompareOp::Lt,
        BinaryOperator::LtEq => CompareOp::Le,
        BinaryOperator::Gt => CompareOp::Gt,
        BinaryOperator::GtEq => CompareOp::Ge,
        _ => return None,
    })
}

/// `5 < x` is `x > 5`.
fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Eq | CompareOp::Ne => op,
    }
}

/// Codes have no order that every engine agrees on (collations differ), and truth values need none.
fn check_order(column: &Column, at: Option<Position>) -> Result<(), Refusal> {
    match column.column_type {
        ColumnType::Number { .. } => Ok(()),
        ColumnType::Code { .. } => {
            Err(invalid(at, format!("the codes of {} have no order", column.name), "list the codes: IN ('...', '...')"))
        }
        ColumnType::Boolean => Err(invalid(at, format!("{} is true or false", column.name), "write the column, or NOT and the column")),
    }
}

fn check_list(list: &[Expr], tested: &Expr) -> Result<(), Refusal> {
    if (1..=MAX_LIST_ITEMS).contains(&list.len()) {
        return Ok(());
    }
    let message = format!("IN (...) takes 1 to {MAX_LIST_ITEMS} values");
    Err(invalid(place_of(tested), message, "use a coarser code list, or NOT IN with the others"))
}

/// The refusal of an expression that is not on the list of what is read.
pub(crate) fn unsupported(expr: &Expr) -> Refusal {
    let (message, hint) = match bare(expr) {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ("a subquery looks at other people's rows", "write one SELECT with conditions on the table's own columns")
        }
        Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } | Expr::RLike { .. } => {
            ("patterns are not read", "list the codes: IN ('...', '...')")
        }
        Expr::Cast { .. } | Expr::Convert { .. } | Expr::TypedString(_) => {
            ("casts are not read: every column has its type in the data contract", "write a value of the column's type")
        }
        Expr::Case { .. } => ("CASE is not read", "ask for the column itself and combine the cells of the answer, free"),
        Expr::Function(_) | Expr::Extract { .. } | Expr::Substring { .. } | Expr::Trim { .. } | Expr::Ceil { .. } | Expr::Floor { .. } => {
            ("this function is not read here", "compare a column with a value; aggregates stand in SELECT only")
        }
        Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) | Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => {
            ("IS TRUE, IS FALSE and IS UNKNOWN are not read", "write the boolean column, NOT and the column, or IS NULL")
        }
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ("parameters are not read", "write the value itself"),
        Expr::Value(_) => ("this kind of literal is not read", "write 'text' in single quotes, a plain number, TRUE or FALSE"),
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => {
            ("arithmetic and other operators are not read", "compare a column with a value by =, <>, <, <=, >, >=, IN or BETWEEN")
        }
        _ => ("this expression is not read", "use the table's own columns and literals; the reference lists what is read"),
    };
    not_private(place_of(expr), message, hint)
}
