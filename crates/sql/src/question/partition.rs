//! WHERE: the partitions that are read, and conditions on one row.

use commun_domain::Refusal;
use commun_domain::calendar::Period;
use commun_domain::error::Position;
use commun_domain::plan::Condition;
use sqlparser::ast::{BinaryOperator, Expr};

use super::expression::{MAX_LIST_ITEMS, operands, unsupported};
use super::literal::{Written, written};
use super::scope::{Meaning, Scope};
use crate::refuse::{bare, invalid, not_private, place_of};

/// Most partitions of one question: a hundred years of months.
pub const MAX_PARTITIONS: usize = 1_200;

impl Scope<'_> {
    /// Takes over a WHERE: the restriction of the partition, once, and everything else.
    pub(crate) fn restrict(&mut self, filter: Option<&Expr>) -> Result<(), Refusal> {
        for conjunct in filter.map(|filter| operands(filter, &BinaryOperator::And)).unwrap_or_default() {
            match self.periods(conjunct)? {
                Some(_) if self.partitions.is_some() => {
                    let hint = format!("write one restriction: {}", self.partition_example());
                    return Err(invalid(place_of(conjunct), "the partition is restricted twice", hint));
                }
                Some(mut periods) => {
                    periods.sort_unstable();
                    periods.dedup();
                    self.partitions = Some(periods);
                }
                None => {
                    let condition = self.condition(conjunct, 2)?;
                    self.filter.push(condition);
                }
            }
        }
        Ok(())
    }

    /// The partitions, and the rest of all conditions. `missing` is the place for "no partition is asked for".
    pub(crate) fn restriction(&self, missing: Option<Position>) -> Result<(Vec<Period>, Option<Condition>), Refusal> {
        let Some(partitions) = self.partitions.clone() else {
            let column = &self.contract.partition_column;
            return Err(not_private(
                missing,
                format!("the question does not say which partitions of {column} it reads, and each is charged"),
                format!("restrict them at the top of WHERE: {}", self.partition_example()),
            ));
        };
        Ok((partitions, self.all_conditions()))
    }

    /// How the partition is restricted, for hints.
    pub(crate) fn partition_example(&self) -> String {
        let contract = self.contract;
        let column = &contract.partition_column;
        let (first, last) = (contract.calendar.format(contract.first_period), contract.calendar.format(contract.last_period));
        format!("{column} = '{first}', {column} IN ('{first}', '{last}') or {column} BETWEEN '{first}' AND '{last}'")
    }

    /// The periods of a conjunct that restricts the partition; `None` when it is about something else.
    fn periods(&self, conjunct: &Expr) -> Result<Option<Vec<Period>>, Refusal> {
        let is_partition = |expr: &Expr| Ok::<_, Refusal>(matches!(self.column(expr)?, Some(Meaning::Partition)));
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
                if !(1..=MAX_LIST_ITEMS).contains(&list.len()) {
                    let message = format!("IN (...) takes 1 to {MAX_LIST_ITEMS} values");
                    return Err(invalid(place_of(expr), message, "use BETWEEN"));
                }
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
        let contract = self.contract;
        let column = &contract.partition_column;
        let at = place_of(expr);
        let period = match written(expr) {
            Some(Written::Text(text)) => contract.calendar.parse(text),
            Some(Written::Number { .. } | Written::Boolean | Written::Null) => None,
            // 2011-01 without quotes is a subtraction; "2011-01" in double quotes is a column.
            None => match bare(expr) {
                Expr::BinaryOp { .. } => None,
                Expr::Identifier(name) if name.quote_style.is_some() => None,
                _ => return Err(unsupported(expr)),
            },
        };
        let Some(period) = period else {
            let hint = format!("write it in single quotes, like {}", contract.calendar.example());
            return Err(invalid(at, format!("this is no period of {column}"), hint));
        };
        if !(contract.first_period..=contract.last_period).contains(&period) {
            let (first, last) = (contract.calendar.format(contract.first_period), contract.calendar.format(contract.last_period));
            let message = format!("{} has no partition {}", contract.name, contract.calendar.format(period));
            return Err(invalid(at, message, format!("ask {first} to {last}")));
        }
        Ok(period)
    }
}
