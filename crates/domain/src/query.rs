//! What an agency signs: one question with everything that decides its meaning and its price.

use crate::canonical_struct;
use crate::encoding::{Decode, DecodeError, Document, Encode, Reader};
use crate::ids::{Hash32, QueryId};
use crate::units::{Epsilon, Rho};

/// Longest SQL text, in bytes.
pub const MAX_SQL_BYTES: usize = 64 * 1024;

/// Longest time between signing and expiry that is accepted, in seconds (one day): a known query id must be remembered that long.
pub const MAX_QUERY_LIFETIME_S: u64 = 24 * 3600;

/// The privacy loss asked for, per partition at one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRequest {
    /// An epsilon at the contract's `delta_conv`; converted to rho, rounding down.
    Epsilon(Epsilon),
    /// A rho.
    Rho(Rho),
}

impl Encode for PriceRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Epsilon(epsilon) => {
                out.push(1);
                epsilon.encode(out);
            }
            Self::Rho(rho) => {
                out.push(2);
                rho.encode(out);
            }
        }
    }
}

impl Decode for PriceRequest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Epsilon::decode(reader).map(Self::Epsilon),
            2 => Rho::decode(reader).map(Self::Rho),
            _ => Err(DecodeError::Invalid("price request")),
        }
    }
}

/// Which earlier result release may answer this question, free: a rule on public dates, never on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotRule {
    /// Any release of the same question.
    Any,
    /// A release made on or after this day (days since 1970-01-01 UTC).
    NotBefore(i32),
}

impl Encode for SnapshotRule {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Any => out.push(1),
            Self::NotBefore(day) => {
                out.push(2);
                day.encode(out);
            }
        }
    }
}

impl Decode for SnapshotRule {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Any),
            2 => i32::decode(reader).map(Self::NotBefore),
            _ => Err(DecodeError::Invalid("snapshot rule")),
        }
    }
}

/// Settings that change what is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuerySettings {
    /// Privacy loss asked for.
    pub price: PriceRequest,
    /// L0: most groups of one person in one partition that count; at least 1.
    pub max_groups_per_person: u32,
    /// Whether each output `x` gets `x_moe`, its 95 % margin of error.
    pub intervals: bool,
    /// Whether the number of people whom L0 and Linf cut is released too, for its share of the price.
    pub clipped: bool,
}

/// Bits of the byte that says what is wanted beside the numbers.
const INTERVALS: u8 = 1;
/// See [`INTERVALS`].
const CLIPPED: u8 = 2;

impl Encode for QuerySettings {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { price, max_groups_per_person, intervals, clipped } = self;
        price.encode(out);
        max_groups_per_person.encode(out);
        out.push(if *intervals { INTERVALS } else { 0 } | if *clipped { CLIPPED } else { 0 });
    }
}

impl Decode for QuerySettings {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (price, max_groups_per_person) = (PriceRequest::decode(reader)?, u32::decode(reader)?);
        let wanted = u8::decode(reader)?;
        if wanted & !(INTERVALS | CLIPPED) != 0 {
            return Err(DecodeError::Invalid("what is wanted beside the numbers"));
        }
        Ok(Self { price, max_groups_per_person, intervals: wanted & INTERVALS != 0, clipped: wanted & CLIPPED != 0 })
    }
}

/// A question as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// SQL text.
    pub sql: String,
    /// Settings.
    pub settings: QuerySettings,
    /// Hash of the data contract.
    pub contract: Hash32,
    /// Hash of the permit.
    pub permit: Hash32,
    /// Highest price accepted per partition at one holder, over all attempts.
    pub max_price: Rho,
    /// Least number of honest noise shares (h) accepted.
    pub least_honest: u32,
    /// Which earlier release may answer.
    pub snapshot: SnapshotRule,
    /// Makes two signed questions different.
    pub nonce: [u8; 16],
    /// Seconds since 1970; not answered after.
    pub expiry_unix: u64,
}
canonical_struct!(Query { sql, settings, contract, permit, max_price, least_honest, snapshot, nonce, expiry_unix });

impl Document for Query {
    const TAG: &'static str = "commun/query/v1";
}

impl Query {
    /// SHA-256 of the signed bytes.
    pub fn id(&self) -> QueryId {
        self.hash().into()
    }
}
