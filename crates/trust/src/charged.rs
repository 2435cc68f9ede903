//! What a logged attempt is charged at a holder, worked out again from its signed query: for a holder that has lost its record of it.
//!
//! An entry of the log says who accepted, not what it costs; the price of the entry is the coordinator's word. Everything here follows from the
//! signed text, its data contract and its permit, which the log has for ever, whether or not they are in force now.

use commun_domain::query::Query;
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_privacy::ledger::{Charge, Loss};
use commun_privacy::price;

use crate::admit::{contract_of, requested_rho, unpriced};
use crate::state::{AttemptState, TrustState};

/// What one attempt is charged at each holder that accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Budget domain.
    pub domain: String,
    /// Hash of the permit.
    pub permit: Hash32,
    /// Loss in each partition.
    pub charges: Vec<Charge>,
    /// SQL text.
    pub sql: String,
    /// Agency of the permit.
    pub agency: String,
}

/// The charges of an attempt that the log holds.
///
/// # Errors
/// The attempt's text is none that this version compiles and prices: nobody can say here what it is charged.
pub fn charged(state: &TrustState, attempt: &AttemptState) -> Result<Charged, Refusal> {
    let (Ok(query), Some(permit)) = (Query::from_bytes(&attempt.entry.query.bytes.0), state.permit(&attempt.permit)) else {
        return Err(Refusal::new(WireCode::InvalidQuery, "the logged query or its permit cannot be read", "update this agent"));
    };
    let contract = contract_of(state, &query, permit)?;
    let plan = commun_sql::compile(&query.sql, contract, &query.settings)?;
    let rho = requested_rho(&query, contract)?;
    let names = price::names(&plan, rho).map_err(|why| unpriced(&why))?;
    // Of a question with an open group key the attempts before the logged names are attempts at names; those after it release numbers.
    let named_before = state.names(&attempt.entry.query.document_hash().into()).is_some_and(|names| names.attempt < attempt.entry.attempt);
    let loss: Loss = match names {
        Some(names) if !named_before => names.loss,
        _ => price::numbers(&plan, rho).map_err(|why| unpriced(&why))?,
    };
    Ok(Charged {
        domain: plan.budget_domain.clone(),
        permit: attempt.permit,
        charges: price::charges(&plan, loss),
        agency: permit.agency.clone(),
        sql: query.sql,
    })
}
