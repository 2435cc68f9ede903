//! A holder tells that it took its RESERVE back, because no manifest came by the deadline.
//!
//! The holder's own ledger is authoritative for the holder. This ledger follows it down only where it had charged for the attempt, where
//! no answer of that holder was released, and once.

use commun_domain::log::RefundEntry;
use commun_domain::{Hash32, QueryId, Refusal, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};

use super::App;
use crate::log::LogError;

impl App {
    /// Logs a holder's refund and follows it. Told twice, it counts once. `seq` and `record` name the REFUND in the holder's own ledger.
    pub fn refunded(&self, holder: &str, query: QueryId, attempt: u8, seq: u64, record: Hash32) -> Result<(), Refusal> {
        let refuse = |message: &str| {
            Refusal::new(
                WireCode::NotPermitted,
                format!("the refund of {holder} is not taken: {message}"),
                "compare both ledgers; the holder's own counts",
            )
        };
        let index = self.log.read(|state| state.trust.roster().and_then(|roster| roster.holder(holder)).map(|holder| holder.index));
        let index = index.ok_or_else(|| refuse("it is not in the roster"))?;
        if self.log.read(|state| state.trust.refund(&query, attempt, index).is_some()) {
            return Ok(());
        }
        // Else anyone with a holder's certificate could fill the log with refunds of queries that never were.
        if self.store.query(&query).map_err(LogError::from)?.is_none() {
            return Err(refuse("the query is unknown"));
        }
        let records = self.store.ledger_load().map_err(LogError::from)?;
        let charged = records.into_iter().find(|known| {
            known.holder == holder && known.query_id == query && known.attempt == attempt && known.kind == RecordKind::Reserve
        });
        let entry = RefundEntry { query, attempt, index, seq, record };
        self.log.refund(entry, |state| {
            Ok(charged.map(|reserve| {
                let (seq, previous) = state.ledger.next(holder);
                LedgerRecord { seq, previous, kind: RecordKind::Refund, ..reserve }
            }))
        })?;
        tracing::info!(holder, %query, attempt, "a holder took its charge back");
        Ok(())
    }
}
