//! The plan's condition over the columns of a batch, in SQL's three-valued logic: NULL is neither true nor false.
//!
//! It runs here and not in `DataFusion` so that no optimiser moves it and no comparison can fail on a value.

use std::cmp::Ordering;

use arrow::array::BooleanArray;
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use commun_domain::plan::{CompareOp, Literal, Predicate};

use crate::columns::Values;

/// Truth value of `predicate` for each of `rows` rows. `column` gives a read column by name; an unknown one is NULL everywhere, but the
/// lowering has refused such plans before.
pub(crate) fn evaluate<'a>(predicate: &Predicate, rows: usize, column: &dyn Fn(&str) -> Option<&'a Values>) -> BooleanArray {
    let unknown = || BooleanArray::new_null(rows);
    match predicate {
        Predicate::Constant(value) => BooleanArray::from(vec![*value; rows]),
        Predicate::And(parts) => parts.iter().fold(BooleanArray::from(vec![true; rows]), |all, part| {
            and_kleene(&all, &evaluate(part, rows, column)).unwrap_or_else(|_| unknown())
        }),
        Predicate::Or(parts) => parts.iter().fold(BooleanArray::from(vec![false; rows]), |any, part| {
            or_kleene(&any, &evaluate(part, rows, column)).unwrap_or_else(|_| unknown())
        }),
        Predicate::Not(part) => not(&evaluate(part, rows, column)).unwrap_or_else(|_| unknown()),
        Predicate::Compare { column: name, op, literal } => {
            column(name).map_or_else(unknown, |values| compare(values, rows, literal, |order| holds(*op, order)))
        }
        Predicate::InList { column: name, literals } => column(name).map_or_else(unknown, |values| {
            literals.iter().fold(BooleanArray::from(vec![false; rows]), |any, literal| {
                or_kleene(&any, &compare(values, rows, literal, Ordering::is_eq)).unwrap_or_else(|_| unknown())
            })
        }),
        Predicate::IsNull { column: name } => column(name).map_or_else(unknown, |values| {
            (0..rows)
                .map(|row| {
                    Some(match values {
                        Values::Text(texts) => texts.get(row).is_none(),
                        Values::Number(numbers) => numbers[row].is_none(),
                        Values::Boolean(booleans) => arrow::array::Array::is_null(booleans, row),
                    })
                })
                .collect()
        }),
    }
}

fn compare(values: &Values, rows: usize, literal: &Literal, holds: impl Fn(Ordering) -> bool) -> BooleanArray {
    match (values, literal) {
        (Values::Text(texts), Literal::Code(code)) => {
            (0..rows).map(|row| texts.get(row).map(|text| holds(text.cmp(code.as_str())))).collect()
        }
        (Values::Number(numbers), Literal::Number(bound)) => numbers.iter().map(|number| number.map(|n| holds(n.cmp(bound)))).collect(),
        (Values::Boolean(booleans), Literal::Boolean(wanted)) => booleans.iter().map(|value| value.map(|v| holds(v.cmp(wanted)))).collect(),
        _ => BooleanArray::new_null(rows),
    }
}

fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(predicate: &Predicate) -> Vec<Option<bool>> {
        let values = Values::Number(vec![Some(1), Some(5), None]);
        evaluate(predicate, 3, &|name| (name == "x").then_some(&values)).iter().collect()
    }

    fn less(than: i64) -> Predicate {
        Predicate::Compare { column: "x".to_owned(), op: CompareOp::Lt, literal: Literal::Number(than) }
    }

    #[test]
    fn null_is_neither_true_nor_false() {
        let (t, f) = (Some(true), Some(false));
        assert_eq!(run(&less(3)), [t, f, None]);
        assert_eq!(run(&Predicate::Not(Box::new(less(3)))), [f, t, None]);
        assert_eq!(run(&Predicate::And(vec![less(3), Predicate::Constant(false)])), [f, f, f]);
        assert_eq!(run(&Predicate::Or(vec![less(3), Predicate::Constant(true)])), [t, t, t]);
        assert_eq!(run(&Predicate::Or(vec![less(3), Predicate::IsNull { column: "x".to_owned() }])), [t, f, t]);
        let list = Predicate::InList { column: "x".to_owned(), literals: vec![Literal::Number(5), Literal::Number(9)] };
        assert_eq!(run(&list), [f, t, None]);
        assert_eq!(run(&Predicate::Not(Box::new(list))), [t, f, None]);
    }

    #[test]
    fn an_empty_and_is_true_and_an_empty_or_is_false() {
        assert_eq!(run(&Predicate::And(vec![])), [Some(true); 3]);
        assert_eq!(run(&Predicate::Or(vec![])), [Some(false); 3]);
    }
}
