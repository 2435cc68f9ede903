//! The ledger rules as a pure fold: records in, accounts out.
//!
//! An account is (holder, budget domain, partition), with one sub-account per permit. A query passes only if, in the account and in
//! the sub-account, `spent + price <= cap`; RESERVE counts as spent from the moment it is written, so that no crash, retry or
//! restart can under-charge (P8). `PROOF.md` beside this file names the theorem that allows such a filter to be asked adaptively.
//!
//! What this is not: a store (durability, locking) or a judge of when a refund is due (the process that reserved).

mod record;

use std::collections::BTreeMap;

use commun_domain::calendar::Period;
use commun_domain::{Delta, Document, Hash32, QueryId, Rho};

pub use record::{Charge, LedgerRecord, RecordKind};

/// A loss: rho and delta are added up apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// zCDP loss.
    pub rho: Rho,
    /// Delta spent on open group keys.
    pub delta: Delta,
}

/// The two caps that a price must keep within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The data contract's, over all permits, for ever.
    pub contract: Loss,
    /// The permit's.
    pub permit: Loss,
}

/// Which cap is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapKind {
    /// The data contract's.
    Contract,
    /// The permit's.
    Permit,
}

impl std::fmt::Display for CapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Contract => "data contract",
            Self::Permit => "permit",
        })
    }
}

/// A price that does not fit the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of the {cap} for this partition does not allow it: {}; ask for less epsilon or for another partition", self.amounts())]
pub struct OverBudget {
    /// Partition.
    pub period: Period,
    /// Which cap.
    pub cap: CapKind,
    /// Spent so far, open reserves included.
    pub spent: Loss,
    /// Price asked.
    pub price: Loss,
    /// The cap.
    pub limit: Loss,
}

impl OverBudget {
    /// What is spent, allowed and asked, of rho, or of delta where that is in the way.
    pub fn amounts(&self) -> String {
        let Self { spent, limit, price, .. } = self;
        let rho_fits = spent.rho.checked_add(price.rho).is_some_and(|sum| sum <= limit.rho);
        if rho_fits {
            format!("delta {} of {} is spent on open group keys and the query costs {}", spent.delta, limit.delta, price.delta)
        } else {
            format!("rho {} of {} is spent and the query costs {}", spent.rho, limit.rho, price.rho)
        }
    }
}

/// Why a record does not follow the ledger's rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Not the next number of the holder's chain: a record is missing, or is there twice.
    #[error("ledger record of {holder} has number {found} where {expected} comes next; a record is missing or the ledger was copied")]
    Seq {
        /// Holder.
        holder: String,
        /// Next number.
        expected: u64,
        /// Number of the record.
        found: u64,
    },
    /// Follows another record than the last one.
    #[error("ledger record {seq} of {holder} does not follow the record before it; the ledger was changed or copied")]
    Previous {
        /// Holder.
        holder: String,
        /// Number of the record.
        seq: u64,
    },
    /// A second RESERVE or RESET of one (query, attempt).
    #[error("attempt {attempt} of query {query} is already in the ledger")]
    Twice {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
    },
    /// A REFUND without an open RESERVE: there was none, it was refunded, or a RESET made it final.
    #[error("attempt {attempt} of query {query} has nothing to refund")]
    NothingToRefund {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
    },
    /// A REFUND of something else than the RESERVE took.
    #[error("the refund of attempt {attempt} of query {query} differs from what was reserved")]
    RefundDiffers {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
    },
    /// No charge, or partitions unsorted or repeated.
    #[error("a ledger record's charges must be sorted by partition, each once, at least one")]
    Charges,
    /// More than the integers hold.
    #[error("the loss in one partition does not fit; no cap is that large")]
    Overflow,
}

/// Last record of a holder's chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    seq: u64,
    hash: Hash32,
}

/// What became of a RESERVE.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reserve {
    Open { domain: String, permit: Hash32, charges: Vec<Charge> },
    Refunded,
    Final,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    total: Loss,
    by_permit: BTreeMap<Hash32, Loss>,
}

/// Everything that one process knows about losses; at a holder it has one holder, at the coordinator all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    heads: BTreeMap<String, Head>,
    /// By holder, query, attempt.
    reserves: BTreeMap<(String, QueryId, u8), Reserve>,
    resets: std::collections::BTreeSet<(String, QueryId, u8)>,
    /// By holder, budget domain, partition.
    accounts: BTreeMap<(String, String, Period), Account>,
}

impl Ledger {
    /// Number and `previous` of the next record of a holder.
    pub fn next(&self, holder: &str) -> (u64, Hash32) {
        let head = self.heads.get(holder).copied().unwrap_or_default();
        (head.seq.saturating_add(1), head.hash)
    }

    /// Applies one record, or refuses it and changes nothing.
    pub fn apply(&mut self, record: &LedgerRecord) -> Result<(), LedgerError> {
        self.check_chain(record)?;
        if record.charges.is_empty() || !record.charges.is_sorted_by(|one, next| one.period < next.period) {
            return Err(LedgerError::Charges);
        }
        let key = (record.holder.clone(), record.query_id, record.attempt);
        match record.kind {
            RecordKind::Reserve => self.apply_reserve(key, record)?,
            RecordKind::Refund => self.apply_refund(key, record)?,
            RecordKind::Reset => self.apply_reset(key, record)?,
        }
        self.heads.insert(record.holder.clone(), Head { seq: record.seq, hash: record.hash() });
        Ok(())
    }

    /// Whether a price fits both caps in one partition. Ask for every partition of the query before writing its RESERVE.
    pub fn check(&self, holder: &str, domain: &str, period: Period, permit: Hash32, price: Loss, caps: Caps) -> Result<(), OverBudget> {
        for (cap, limit, of) in [(CapKind::Contract, caps.contract, None), (CapKind::Permit, caps.permit, Some(permit))] {
            let spent = self.spent(holder, domain, period, of);
            let fits = spent.plus(price).is_some_and(|sum| sum.rho <= limit.rho && sum.delta <= limit.delta);
            if !fits {
                return Err(OverBudget { period, cap, spent, price, limit });
            }
        }
        Ok(())
    }

    /// Loss in one partition, open reserves included: under one permit, or under all.
    pub fn spent(&self, holder: &str, domain: &str, period: Period, permit: Option<Hash32>) -> Loss {
        let Some(account) = self.accounts.get(&(holder.to_owned(), domain.to_owned(), period)) else {
            return Loss::default();
        };
        match permit {
            Some(permit) => account.by_permit.get(&permit).copied().unwrap_or_default(),
            None => account.total,
        }
    }

    fn check_chain(&self, record: &LedgerRecord) -> Result<(), LedgerError> {
        let (expected, previous) = self.next(&record.holder);
        if record.seq != expected {
            return Err(LedgerError::Seq { holder: record.holder.clone(), expected, found: record.seq });
        }
        if record.previous != previous {
            return Err(LedgerError::Previous { holder: record.holder.clone(), seq: record.seq });
        }
        Ok(())
    }

    fn apply_reserve(&mut self, key: (String, QueryId, u8), record: &LedgerRecord) -> Result<(), LedgerError> {
        if self.reserves.contains_key(&key) {
            return Err(LedgerError::Twice { query: record.query_id, attempt: record.attempt });
        }
        self.change(record, Loss::plus)?;
        let open = Reserve::Open { domain: record.domain.clone(), permit: record.permit, charges: record.charges.clone() };
        self.reserves.insert(key, open);
        Ok(())
    }

    fn apply_refund(&mut self, key: (String, QueryId, u8), record: &LedgerRecord) -> Result<(), LedgerError> {
        let (query, attempt) = (record.query_id, record.attempt);
        let Some(Reserve::Open { domain, permit, charges }) = self.reserves.get(&key) else {
            return Err(LedgerError::NothingToRefund { query, attempt });
        };
        if *domain != record.domain || *permit != record.permit || *charges != record.charges {
            return Err(LedgerError::RefundDiffers { query, attempt });
        }
        self.change(record, Loss::minus)?;
        self.reserves.insert(key, Reserve::Refunded);
        Ok(())
    }

    fn apply_reset(&mut self, key: (String, QueryId, u8), record: &LedgerRecord) -> Result<(), LedgerError> {
        if self.resets.contains(&key) {
            return Err(LedgerError::Twice { query: record.query_id, attempt: record.attempt });
        }
        self.change(record, Loss::plus)?;
        self.resets.insert(key);
        for ((holder, _, _), reserve) in &mut self.reserves {
            if *holder == record.holder && matches!(reserve, Reserve::Open { .. }) {
                *reserve = Reserve::Final;
            }
        }
        Ok(())
    }

    /// Changes every account of the record by its charges, all or none.
    fn change(&mut self, record: &LedgerRecord, step: impl Fn(Loss, Loss) -> Option<Loss>) -> Result<(), LedgerError> {
        let mut changed = Vec::with_capacity(record.charges.len());
        for charge in &record.charges {
            let loss = Loss { rho: charge.rho, delta: charge.delta };
            let spent = |permit| self.spent(&record.holder, &record.domain, charge.period, permit);
            let total = step(spent(None), loss).ok_or(LedgerError::Overflow)?;
            let of_permit = step(spent(Some(record.permit)), loss).ok_or(LedgerError::Overflow)?;
            changed.push((charge.period, total, of_permit));
        }
        for (period, total, of_permit) in changed {
            let account = self.accounts.entry((record.holder.clone(), record.domain.clone(), period)).or_default();
            account.total = total;
            account.by_permit.insert(record.permit, of_permit);
        }
        Ok(())
    }
}

impl Loss {
    /// Sum, or `None` when it does not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self { rho: self.rho.checked_add(other.rho)?, delta: self.delta.checked_add(other.delta)? })
    }

    /// Difference, or `None` when it would be negative.
    fn minus(self, other: Self) -> Option<Self> {
        Some(Self { rho: self.rho.checked_sub(other.rho)?, delta: self.delta.checked_sub(other.delta)? })
    }
}

#[cfg(test)]
mod tests;
