//! The second attempt of a question with an open group key: is its grid what the holders released?
//!
//! The coordinator joins the holders' lists; an agent does not believe the join. With the offer it is sent every holder's list as that holder signed it, and the
//! manifest that they answered; the log, which it has read itself, holds the hash of all that. It checks each signature, its own among them, and works
//! out the union. So no name can be added, taken away or exchanged, nor can lists of another question be put in their place.
//!
//! What is not here: whether a holder's list is one that noise and threshold allow. A holder that lies about its own data is not prevented.

use commun_domain::attempt::{ManifestKind, NameLists, encode_names};
use commun_domain::bundle::RosterHolder;
use commun_domain::encoding::sha256;
use commun_domain::plan::OpenKey;
use commun_domain::{Document, Refusal, WireCode};
use commun_privacy::price;

use crate::admit::{Admitted, NAMES_ATTEMPT, roster_in_force, unpriced};
use crate::manifest::{check_answer, require};
use crate::state::TrustState;

/// The second attempt of an admitted question at a moment, in seconds since 1970. `first` is what [`crate::admit`] made of it.
///
/// # Errors
/// The first thing in which `lists` is not what the log, the roster and the holders' signatures say.
pub fn admit_numbers(state: &TrustState, first: &Admitted, lists: &NameLists, now_unix: u64) -> Result<Admitted, Refusal> {
    let (Some(open), true) = (first.plan.open_key(), first.releases_names()) else {
        return Err(not_asked());
    };
    let manifest = &lists.manifest;
    require(manifest.query == first.id && manifest.attempt == NAMES_ATTEMPT, "the names are those of another query or attempt")?;
    require(manifest.kind == first.kind && manifest.plan == first.plan_hash, "the names were released for another plan or threshold")?;
    let Some(entry) = state.names(&first.id).filter(|entry| entry.attempt == NAMES_ATTEMPT) else {
        let hint = "the coordinator must log the names and send the entry before it offers the second attempt";
        return Err(Refusal::new(WireCode::NotPermitted, "the names of the open group key are not in the log", hint));
    };
    require(entry.lists == lists.hash(), "the names are not the logged ones")?;
    require((entry.price, entry.delta) == (first.price, first.delta), "the logged price or delta of the names is not the one of the plan")?;
    let attempt = state.attempt(&first.id, NAMES_ATTEMPT);
    let roster = roster_in_force(state, now_unix)?;
    let same = attempt.is_some_and(|attempt| Some(attempt.entry.roster) == state.roster_hash() && attempt.entry.plan == first.plan_hash);
    require(same && Some(manifest.roster) == state.roster_hash(), "the names were released under another roster than the one in force")?;
    let listed: Vec<&RosterHolder> = roster.for_dataset(&first.contract.name).collect();
    let names = checked_union(&listed, lists, open)?;
    require(entry.names == sha256(&encode_names(&names)), "the logged union of names is not the one of the holders' lists")?;
    if names.is_empty() {
        return Err(no_name(first.kind));
    }
    let plan = first.plan.with_names(&names);
    let loss = price::numbers(&plan, first.rho).map_err(|why| unpriced(&why))?;
    Ok(Admitted {
        plan_hash: plan.hash(),
        plan,
        kind: ManifestKind::Numbers { names: Some(entry.names) },
        price: loss.rho,
        delta: loss.delta,
        ..first.clone()
    })
}

/// One list of every listed holder, in order, signed by it for this manifest, and each as a holder may release it.
fn checked_union(listed: &[&RosterHolder], lists: &NameLists, open: &OpenKey) -> Result<Vec<String>, Refusal> {
    require(lists.lists.len() == listed.len(), "the names are not those of every listed holder")?;
    let manifest = lists.manifest.hash();
    for (holder, list) in listed.iter().zip(&lists.lists) {
        check_answer(&list.head, &manifest, &encode_names(&list.names), holder)?;
        require(open.allows(&list.names), "a holder's names are not sorted, stand twice, are too many, or no names")?;
    }
    Ok(lists.union(open))
}

/// The end of a question whose names nobody has enough people for. Its first attempt stays charged.
pub fn no_name(kind: ManifestKind) -> Refusal {
    let people = match kind {
        ManifestKind::Names { law } => law.threshold,
        ManifestKind::Numbers { .. } => 0,
    };
    Refusal::new(
        WireCode::NotPrivate,
        format!("no name has enough people behind it to be shown: about {people} are needed in one partition at one holder"),
        "ask for more rho, for fewer groups a person, or for a column with a code list",
    )
}

fn not_asked() -> Refusal {
    Refusal::new(
        WireCode::NotPermitted,
        "names were sent with the offer of a question that has no open group key",
        "the coordinator must offer the question as it was signed",
    )
}
