//! The price of a precision: the least rho at which a count or a sum has a given margin of error.
//!
//! The rho is an integer and so is the noise that follows from it; the margin that is compared is the very one that is shown
//! ([`expected_margins`](crate::answer::expected_margins)). So what is promised is what is shown, and one unit of 2^-40 less would not do.

use commun_domain::Rho;
use commun_domain::plan::PrivatePlan;

use super::{PriceError, noise, price};
use crate::answer::widest_margins;

/// Most rho that is looked at: noise of less than one person in a hundred.
const MOST: Rho = Rho::from_units(1 << 53);

/// A column of an answer with the margin that it shall have.
#[derive(Clone, Debug, PartialEq)]
pub struct MarginTarget {
    /// Name of a count or a sum; `None` is the first one.
    pub column: Option<String>,
    /// Half the width of its 95 % interval, at most, in the column's units, in every row.
    pub margin: f64,
}

/// What a margin costs.
#[derive(Clone, Debug, PartialEq)]
pub struct MarginPrice {
    /// The column that was meant.
    pub column: String,
    /// What to ask for.
    pub rho: Rho,
    /// The margin in the answer's widest row, at most the target.
    pub margin: f64,
}

/// Why no price gives the margin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// Not a margin.
    #[error("a margin of error is a number above 0")]
    Margin,
    /// The column has no margin that can be known before.
    #[error("the margin of {column} cannot be known before it is asked; {}", known(.counts))]
    Column {
        /// As it was named.
        column: String,
        /// Columns that have one.
        counts: Vec<String>,
    },
    /// No column has one.
    #[error("no column's margin can be known before it is asked; add a COUNT or SUM, or say how much to spend")]
    NoColumn,
    /// No price is high enough, as for a number that is rounded to tens, or that one person moves by very much.
    #[error("no price up to rho {MOST} makes the margin of {column} so small; ask for a larger one, or round less")]
    Unreachable {
        /// Its name.
        column: String,
    },
    /// The plan has no price at all.
    #[error(transparent)]
    Price(#[from] PriceError),
}

fn known(counts: &[String]) -> String {
    if counts.is_empty() { "no count or sum is asked for".to_owned() } else { format!("name one of {}", counts.join(", ")) }
}

/// The margin of a count or a sum in the widest row when rho is asked for; `None` when nobody can add that noise, or for another column.
pub fn margin_at(plan: &PrivatePlan, column: &str, rho: Rho, agents: u32, honest: u32) -> Option<f64> {
    let noise = noise(plan, rho, agents, honest).ok()?;
    let margins = widest_margins(plan, &noise, agents).ok()?;
    margins.into_iter().find(|(name, _)| name == column).and_then(|(_, margin)| margin)
}

/// The least rho at which the column has at most the margin, with noise by each of `agents` agents of which that of `honest` counts.
pub fn rho_for_margin(plan: &PrivatePlan, target: &MarginTarget, agents: u32, honest: u32) -> Result<MarginPrice, TargetError> {
    if !(target.margin.is_finite() && target.margin > 0.0) {
        return Err(TargetError::Margin);
    }
    price(plan, MOST)?;
    let column = column(plan, target, agents, honest)?;
    let meets = |units: u64| margin_at(plan, &column, Rho::from_units(units), agents, honest).is_some_and(|margin| margin <= target.margin);
    let (mut below, mut enough) = (0, 1);
    while !meets(enough) {
        if enough >= MOST.units() {
            return Err(TargetError::Unreachable { column });
        }
        (below, enough) = (enough, enough * 2);
    }
    while enough - below > 1 {
        let middle = below + (enough - below) / 2;
        if meets(middle) {
            enough = middle;
        } else {
            below = middle;
        }
    }
    let rho = Rho::from_units(enough);
    let margin = margin_at(plan, &column, rho, agents, honest).ok_or_else(|| TargetError::Unreachable { column: column.clone() })?;
    Ok(MarginPrice { column, rho, margin })
}

/// Which column is meant. Whether a margin is known follows from the columns, not from the price.
fn column(plan: &PrivatePlan, target: &MarginTarget, agents: u32, honest: u32) -> Result<String, TargetError> {
    // A rho at which every plan that has a price has noise.
    let noise = (30..53).find_map(|power| noise(plan, Rho::from_units(1 << power), agents, honest).ok());
    let noise = noise.ok_or(PriceError::TooLarge)?;
    let margins = widest_margins(plan, &noise, agents).map_err(PriceError::from)?;
    let counts: Vec<String> = margins.into_iter().filter_map(|(name, margin)| margin.map(|_| name)).collect();
    match &target.column {
        None => counts.into_iter().next().ok_or(TargetError::NoColumn),
        Some(column) if counts.contains(column) => Ok(column.clone()),
        Some(column) => Err(TargetError::Column { column: column.clone(), counts }),
    }
}

#[cfg(test)]
mod tests;
