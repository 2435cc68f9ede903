//! The catalog as the client reads it: entries of the log, folded in the log's order by the function that agents fold with.
//!
//! Order carries meaning: what the officers of one trust bundle signed stays good after the next bundle, if it stands before it. Entries
//! that are not in a catalog (attempts, other agencies' permits) are skipped; what of the rest does not hold is left out, and said.

use commun_domain::log::{LogEntry, MAX_ENTRY_BYTES};
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_proto::v1::CatalogReply;
use commun_proto::{MAX_CATALOG_BYTES, MAX_CATALOG_ENTRIES};
use commun_trust::state::{Pins, TrustState};

/// What follows from the entries and the pin of trust bundle 1, and why entries of the catalog count for nothing.
pub(crate) fn fold(bundle: Hash32, reply: CatalogReply) -> Result<(TrustState, Vec<String>), Refusal> {
    check_form(&reply)?;
    let mut state = TrustState::new(Pins { bundle });
    let mut ignored = Vec::new();
    for (number, bytes) in reply.numbers.into_iter().zip(reply.entries) {
        state.skip_to(number).map_err(|_| malformed("its entries are not in the order of the log"))?;
        match LogEntry::from_bytes(&bytes) {
            Ok(entry) => {
                if let Err(error) = state.apply(number, &entry) {
                    ignored.push(format!("log entry {number}, {}, is not accepted: {error}", entry.kind()));
                }
            }
            Err(error) => {
                state.skip(number).map_err(|_| malformed("its entries are not in the order of the log"))?;
                ignored.push(format!("log entry {number} cannot be read ({error}); is this program older than the coordinator?"));
            }
        }
    }
    if state.bundle().is_none() {
        return Err(Refusal::new(
            WireCode::NotPermitted,
            "the coordinator's trust bundle is not the one pinned in the profile",
            "compare pins.bundle_sha256 with the supervisor's pins.toml; if it is right, this is not the coordinator that it should be",
        ));
    }
    Ok((state, ignored))
}

fn check_form(reply: &CatalogReply) -> Result<(), Refusal> {
    let CatalogReply { entries, numbers } = reply;
    let small = entries.iter().all(|bytes| bytes.len() <= MAX_ENTRY_BYTES);
    if entries.len() != numbers.len() {
        Err(malformed("it has not one number for each entry"))
    } else if !small || entries.len() > MAX_CATALOG_ENTRIES || entries.iter().map(Vec::len).sum::<usize>() > MAX_CATALOG_BYTES {
        Err(malformed("it is larger than a catalog may be"))
    } else {
        Ok(())
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(
        WireCode::Internal,
        format!("the coordinator's catalog cannot be used: {what}"),
        "use a client of the same version as the coordinator, and report it to the supervisor if that does not help",
    )
}

#[cfg(test)]
#[path = "../../crates/trust/tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

    use commun_domain::bundle::TrustBundle;
    use commun_domain::signed::SignedDocument;

    use super::*;

    fn reply(entries: &[(u64, LogEntry)]) -> CatalogReply {
        CatalogReply {
            entries: entries.iter().map(|(_, entry)| entry.to_bytes()).collect(),
            numbers: entries.iter().map(|(number, _)| *number).collect(),
        }
    }

    /// Trust bundle 2, in which officer 2 has another key: what officers 1 and 2 of bundle 1 signed has one good signature left in it.
    fn second_bundle() -> SignedDocument {
        let mut next = TrustBundle { version: 2, previous: Some(common::bundle().hash()), ..common::bundle() };
        next.officers[1].key = common::holder_public(9);
        common::signed_by(&next, &[common::root_key(), common::officer_key(1), common::officer_key(2)])
    }

    /// Bundle 1, roster, contract, and after some attempts the permit and bundle 2.
    fn log() -> [(u64, LogEntry); 5] {
        [
            (0, LogEntry::Bundle(common::signed_by(&common::bundle(), &[common::root_key()]))),
            (1, LogEntry::Roster(common::signed_by(&common::roster(), &common::roster_signers()))),
            (2, LogEntry::Contract(common::signed_by(&common::contract(), &common::officers()))),
            (40, LogEntry::Permit(common::signed_by(&common::permit(), &common::officers()))),
            (90, LogEntry::Bundle(second_bundle())),
        ]
    }

    fn pin() -> Hash32 {
        common::bundle().hash()
    }

    #[test]
    fn what_the_first_officers_signed_stays_good_under_a_second_trust_bundle() {
        let (state, ignored) = fold(pin(), reply(&log())).unwrap();
        assert_eq!(ignored, Vec::<String>::new());
        assert_eq!((state.bundle().unwrap().version, state.entries(), state.skipped()), (2, 91, 86));
        let question = common::signed_query(&common::query());
        assert!(commun_trust::admit(&state, &question, common::NOW_UNIX).is_ok());
        // And what they sign after it does not: one of them is no officer any more.
        let mut late = log();
        late.swap(3, 4);
        (late[3].0, late[4].0) = (40, 90);
        let (state, ignored) = fold(pin(), reply(&late)).unwrap();
        assert_eq!(state.permits().count(), 0);
        assert!(ignored.len() == 1 && ignored[0].contains("entry 90, permit") && ignored[0].contains("1 different officer"), "{ignored:?}");
    }

    #[test]
    fn a_catalog_of_another_pin_out_of_order_or_without_its_numbers_is_refused() {
        assert_eq!(fold(common::permit().hash(), reply(&log())).unwrap_err().code, WireCode::NotPermitted);
        let mut disordered = reply(&log());
        disordered.numbers.swap(3, 4);
        let mut twice = reply(&log());
        twice.numbers[4] = 40;
        let mut unnumbered = reply(&log());
        unnumbered.numbers.pop();
        let mut large = reply(&log());
        large.entries[4] = vec![0; MAX_ENTRY_BYTES + 1];
        for bad in [disordered, twice, unnumbered, large] {
            assert_eq!(fold(pin(), bad).unwrap_err().code, WireCode::Internal);
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_left_out_and_said() {
        let mut newer = reply(&log());
        newer.entries[3] = b"an entry of a later version".to_vec();
        let (state, ignored) = fold(pin(), newer).unwrap();
        assert_eq!((state.permits().count(), state.bundle().unwrap().version), (0, 2));
        assert!(ignored.len() == 1 && ignored[0].contains("entry 40 cannot be read"), "{ignored:?}");
    }
}
