//! The holder's own ledger, which is authoritative for the holder: the fold of its records in memory, beside the records on the disk.
//!
//! A record counts in memory only after the store has it on the disk, and is told to anybody only after that (P8).

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::calendar::Period;
use commun_domain::{Document, Hash32, QueryId, Refusal, WireCode};
use commun_privacy::ledger::{Caps, Ledger, LedgerError, LedgerRecord, Loss, RecordKind};
use commun_privacy::price;
use commun_store::agent::{Decision, JournalLine};
use commun_store::incidents::Incident;
use commun_store::{AgentStore, StoreError};
use commun_trust::{Admitted, Charged};

use super::lost::OwnLogged;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records contradict each other.
    #[error("the ledger does not hold: {0}; restore nothing, and call the supervisor")]
    Ledger(#[from] LedgerError),
    /// The store is another holder's.
    #[error("the store is the ledger of \"{found}\", not of \"{expected}\"; check `holder` and `state_dir` in the configuration")]
    OtherHolder {
        /// The holder in the records.
        found: String,
        /// The configured holder.
        expected: String,
    },
}

/// The own ledger.
#[derive(Debug)]
pub(crate) struct Book {
    holder: String,
    ledger: Ledger,
    accounts: BTreeSet<(String, Period)>,
    /// Hash of each record, by number.
    hashes: BTreeMap<u64, Hash32>,
    /// Attempts that were charged because the log shows them.
    recalled: BTreeSet<(QueryId, u8)>,
}

/// Whether the ledger has a record that the log shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has, or has charged it since.
    Yes,
    /// It has none of this number.
    No,
    /// It has another one of this number.
    OtherThere,
}

impl Book {
    /// Reads the stored records and checks that they hold together.
    pub(crate) fn load(store: &AgentStore, holder: &str) -> Result<Self, BookError> {
        let mut book = Self {
            holder: holder.to_owned(),
            ledger: Ledger::default(),
            accounts: BTreeSet::new(),
            hashes: BTreeMap::new(),
            recalled: BTreeSet::new(),
        };
        for record in store.ledger_load()? {
            if record.holder != holder {
                return Err(BookError::OtherHolder { found: record.holder, expected: holder.to_owned() });
            }
            book.count(&record)?;
        }
        Ok(book)
    }

    /// Whether the price of a question fits both caps in every partition that it reads.
    pub(crate) fn check(&self, admitted: &Admitted) -> Result<(), Refusal> {
        let price = admitted.ahead();
        let contract = Loss { rho: admitted.contract.rho_cap, delta: admitted.contract.delta_keys };
        let permit = Loss { rho: admitted.permit.rho_cap, delta: admitted.permit.delta_cap };
        let caps = Caps { contract, permit };
        for period in &admitted.plan.partitions {
            let fits = self.ledger.check(&self.holder, &admitted.plan.budget_domain, *period, admitted.permit_hash, price, caps);
            fits.map_err(|over| {
                let partition = admitted.plan.calendar.format(over.period);
                Refusal::new(
                    WireCode::OverBudget,
                    format!("partition {partition}: {over}"),
                    "ask for less, or for another partition; the budget of the same rows never starts again",
                )
            })?;
        }
        Ok(())
    }

    /// Accepts an attempt and charges its price, with its line of the journal; on the disk when it returns.
    pub(crate) fn accept(
        &mut self,
        store: &AgentStore,
        admitted: &Admitted,
        attempt: u8,
        line: &JournalLine,
    ) -> Result<LedgerRecord, BookError> {
        let (seq, previous) = self.ledger.next(&self.holder);
        let record = LedgerRecord {
            holder: self.holder.clone(),
            domain: admitted.plan.budget_domain.clone(),
            seq,
            previous,
            query_id: admitted.id,
            attempt,
            kind: RecordKind::Reserve,
            permit: admitted.permit_hash,
            charges: price::charges(&admitted.plan, admitted.loss()),
        };
        // On a copy first: what the rules refuse must not reach the disk.
        self.ledger.clone().apply(&record)?;
        store.attempt_accept(&record, line)?;
        self.count(&record)?;
        Ok(record)
    }

    /// Takes a RESERVE back and ends its attempt, with its line of the journal; on the disk when it returns. When that may be is for the
    /// guard to say.
    pub(crate) fn refund(
        &mut self,
        store: &AgentStore,
        reserve: &LedgerRecord,
        line: &JournalLine,
        incidents: &[Incident],
    ) -> Result<(u64, Hash32), BookError> {
        let (seq, previous) = self.ledger.next(&self.holder);
        let record = LedgerRecord { seq, previous, kind: RecordKind::Refund, ..reserve.clone() };
        self.ledger.clone().apply(&record)?;
        store.attempt_refund(&record, line, incidents)?;
        self.count(&record)?;
        Ok((seq, record.hash()))
    }

    /// Charges attempts whose records the log shows and this ledger has not; on the disk when it returns, all or none.
    pub(crate) fn charge_lost(&mut self, store: &AgentStore, lost: &[(OwnLogged, Charged)], now_ms: u64) -> Result<(), BookError> {
        let mut ledger = self.ledger.clone();
        let mut rows = Vec::with_capacity(lost.len());
        for (own, charged) in lost {
            let (seq, previous) = ledger.next(&self.holder);
            let reset = LedgerRecord {
                holder: self.holder.clone(),
                domain: charged.domain.clone(),
                seq,
                previous,
                query_id: own.query,
                attempt: own.attempt,
                kind: RecordKind::Reset,
                permit: charged.permit,
                charges: charged.charges.clone(),
            };
            ledger.apply(&reset)?;
            rows.push((reset, recalled_line(own, charged, now_ms)));
        }
        if !rows.is_empty() {
            store.charge_lost(&rows)?;
        }
        rows.iter().try_for_each(|(reset, _)| self.count(reset)).map_err(BookError::from)
    }

    /// Whether this ledger has the record that the log shows.
    pub(crate) fn knows(&self, own: &OwnLogged) -> Known {
        match self.hashes.get(&own.seq) {
            Some(hash) if *hash == own.record => Known::Yes,
            _ if self.recalled.contains(&(own.query, own.attempt)) => Known::Yes,
            Some(_) => Known::OtherThere,
            None => Known::No,
        }
    }

    /// Number of the last record, 0 when there is none.
    pub(crate) fn last_seq(&self) -> u64 {
        self.hashes.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Every (budget domain, partition) that was ever charged.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &(String, Period)> {
        self.accounts.iter()
    }

    /// Loss in one partition: under one permit, or under all.
    pub(crate) fn spent(&self, domain: &str, period: Period, permit: Option<Hash32>) -> Loss {
        self.ledger.spent(&self.holder, domain, period, permit)
    }

    fn count(&mut self, record: &LedgerRecord) -> Result<(), LedgerError> {
        self.ledger.apply(record)?;
        self.accounts.extend(record.charges.iter().map(|charge| (record.domain.clone(), charge.period)));
        self.hashes.insert(record.seq, record.hash());
        if record.kind == RecordKind::Reset {
            self.recalled.insert((record.query_id, record.attempt));
        }
        Ok(())
    }
}

fn recalled_line(own: &OwnLogged, charged: &Charged, time_ms: u64) -> JournalLine {
    JournalLine {
        time_ms,
        query: own.query,
        attempt: own.attempt,
        agency: Some(charged.agency.clone()),
        permit: Some(charged.permit),
        sql: charged.sql.clone(),
        decision: Decision::Charged,
        code: None,
        reason: format!("the log shows record {} of this holder, which this ledger did not have; it is charged", own.seq),
        bytes_sent: 0,
    }
}
