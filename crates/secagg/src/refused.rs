//! Why a message, a cohort or a record is refused: a closed set, each with a stable code and a hint.
//!
//! All of it follows from public messages and parameters, so a refusal may be shown to anyone and logged (P9, P10).

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $message:literal, $hint:expr;)*) => {
        /// A refusal. In an [`Agent`](crate::agent::Agent) each one ends the attempt, except where its method says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Refused {
            $( $(#[$doc])* #[error($message)] $variant, )*
        }

        impl Refused {
            /// All refusals.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The stable code, for logs and tests.
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// What to do about it.
            pub const fn hint(self) -> &'static str {
                match self { $( Self::$variant => $hint, )* }
            }
        }
    };
}

const ATTACK: &str = "the attempt has ended at this holder; tell the supervisor if it happens again";
const VERSIONS: &str = "check that agent and coordinator are of the same version";
const AGAIN: &str = "ask again when more holders are connected and willing";
const NEW_ATTEMPT: &str = "the coordinator must run another attempt";
const RESYNC: &str = "compare the record with the logged attempt; the release cannot be confirmed";

refusals! {
    // Parameters of an attempt.
    /// A cohort of one holder does not aggregate.
    OneHolder = "ONE_HOLDER", "one holder alone cannot be hidden by aggregation", "one holder answers with its full noise, where the permit says unmasked = true";
    /// More members than the complete graph is meant for.
    TooManyMembers = "TOO_MANY_MEMBERS", "the cohort has more members than one attempt may have", "split the dataset's holders into several rosters";
    /// No T fits the wishes of this cohort.
    TooFewHolders = "TOO_FEW_HOLDERS", "too few holders accepted for the protection that they or the query ask for", AGAIN;
    /// Indices not ascending from 1, or a key twice, or no valid key.
    MemberList = "MEMBER_LIST", "the members are not sorted by index from 1, each index and each valid key once", VERSIONS;
    /// 2T > n + c, c >= 1, h >= 1 or T <= n does not hold.
    Threshold = "THRESHOLD", "T and c do not satisfy 2T > n + c and n >= T > c >= 1", ATTACK;
    /// T, c or h are below what an acceptor or the query asks for, or n is not the number of acceptors.
    Wish = "WISH", "T, c or h do not honour what every acceptor and the query ask for", ATTACK;
    /// No cells, too many, or a bound of 0 or above 2^63 - 1.
    Shape = "SHAPE", "the cells or their bounds are not those of an answer", VERSIONS;
    /// This holder is no member.
    NotAMember = "NOT_A_MEMBER", "this holder is not a member of the attempt with its own key", ATTACK;

    // Any round.
    /// The bytes are not the message that is due.
    Malformed = "MALFORMED", "the message cannot be read", VERSIONS;
    /// Larger than the round allows.
    TooLarge = "TOO_LARGE", "the message is larger than its round allows", VERSIONS;
    /// Of a round that is not due.
    OutOfOrder = "OUT_OF_ORDER", "the message belongs to a round that is not due", NEW_ATTEMPT;
    /// Other bytes for a round that is finished.
    OtherInput = "OTHER_INPUT", "another input came for a round that is finished", ATTACK;
    /// Of another attempt, manifest or view.
    OtherContext = "OTHER_CONTEXT", "the message belongs to another attempt, or to another view of this one", ATTACK;
    /// A manifest when one is bound.
    SecondManifest = "SECOND_MANIFEST", "the attempt has a manifest already", ATTACK;
    /// Of another query or number than was accepted.
    OtherAttempt = "OTHER_ATTEMPT", "the manifest is for another query or attempt than the accepted one", ATTACK;
    /// Before the slot. The attempt goes on.
    BeforeSlot = "BEFORE_SLOT", "the slot has not come", "wait for the slot";
    /// The attempt ended before.
    Ended = "ENDED", "the attempt has ended", NEW_ATTEMPT;
    /// A deadline passed.
    Late = "LATE", "the deadline has passed", NEW_ATTEMPT;
    /// A freeze or revocation is in force.
    Frozen = "FROZEN", "a freeze or revocation is in force", "ask the supervisor";
    /// The holder took its charge back.
    Refunded = "REFUNDED", "the charge was taken back, and no message of the attempt may follow", NEW_ATTEMPT;
    /// A list is not ascending.
    NotAscending = "NOT_ASCENDING", "the members are not listed in ascending order, each once", ATTACK;
    /// Fewer than T.
    BelowThreshold = "BELOW_THRESHOLD", "fewer than T members are left", NEW_ATTEMPT;
    /// An index that the round before did not have.
    Stranger = "STRANGER", "a member is listed that was not in the round before", ATTACK;
    /// The listed or claimed sender is another.
    WrongSender = "WRONG_SENDER", "the message names another sender or recipient than its link", ATTACK;
    /// A signature does not hold.
    Signature = "SIGNATURE", "a signature does not hold", ATTACK;
    /// The operating system or the library failed.
    Fault = "FAULT", "the operating system or the cryptographic library failed", "check the machine";

    // KEYS.
    /// The own entry is missing or changed.
    OwnKeys = "OWN_KEYS", "this holder's own keys are missing or changed in the list", ATTACK;
    /// Not the canonical encoding of a point.
    KeyEncoding = "KEY_ENCODING", "an ephemeral key is not canonical", ATTACK;
    /// Order at most 8.
    SmallOrder = "SMALL_ORDER", "an ephemeral key is of small order", ATTACK;
    /// The same key twice.
    CopiedKey = "COPIED_KEY", "an ephemeral key stands in the list twice", ATTACK;

    // SHARES.
    /// Not one share for each other member.
    ShareCount = "SHARE_COUNT", "there is not one share for each member", ATTACK;
    /// Cannot be opened with the key of this pair, direction and context.
    Sealed = "SEALED", "a sealed share cannot be opened: it was changed, swapped or is of another attempt", ATTACK;
    /// Not a canonical scalar.
    ShareValue = "SHARE_VALUE", "a share is not a canonical scalar", ATTACK;

    // MASKED.
    /// Another number of cells.
    CellCount = "CELL_COUNT", "the vector does not have the attempt's number of cells", VERSIONS;
    /// The cells are not those that were signed.
    CellsHash = "CELLS_HASH", "the cells are not those that were signed", ATTACK;

    // CONSISTENCY and UNMASK.
    /// Self is not among the survivors.
    LeftOut = "LEFT_OUT", "this holder answered in time and is not among the survivors", "count it; from the fourth time a person must decide";
    /// Listed with other cells than it sent.
    OwnCells = "OWN_CELLS", "this holder is listed with other masked cells than it signed", ATTACK;
    /// Not T signatures.
    SignatureCount = "SIGNATURE_COUNT", "there are not exactly T signatures of distinct survivors", ATTACK;
    /// The proof is for another set.
    OtherSurvivors = "OTHER_SURVIVORS", "the signatures are for another set of survivors than the one that this holder signed", ATTACK;

    // The end.
    /// Too many shares are wrong.
    WrongShares = "WRONG_SHARES", "more shares are wrong than can be decoded", NEW_ATTEMPT;
    /// A cell outside the planning bound.
    OutOfBound = "OUT_OF_BOUND", "a cell of the sum is outside the planning bound: the holders' views differed, or one lied", NEW_ATTEMPT;

    // Adding up again.
    /// b or u do not fit what was signed in R1.
    Seed = "SEED", "a mask's seed does not fit the signed keys", RESYNC;
    /// The lists of the record do not fit each other.
    Record = "RECORD", "the record's lists do not fit each other or the attempt", RESYNC;
}
