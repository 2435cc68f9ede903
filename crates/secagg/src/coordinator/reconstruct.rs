//! Secrets from the shares that survivors opened: interpolation through T of them, and decoding when what comes out is not what was
//! committed to.

use curve25519_dalek::Scalar;

use crate::crypto::reed_solomon::decode;
use crate::crypto::shamir::{combine, weights_at_zero};
use crate::crypto::wide::{Limbs, limbs};
use crate::refused::Refused;

/// Most decodings of one attempt. Each one finds a member whose shares are not used again, and at most `(m - T) / 2` of them can be wrong
/// about one secret; members who deal wrong shares can cost more, up to here.
const MAX_DECODINGS: usize = 64;

/// Shares of all of U2's secrets.
pub(super) struct Shares {
    /// Who opened shares.
    xs: Vec<u32>,
    /// One row for each of them, U2 in order.
    rows: Vec<Vec<Scalar>>,
    threshold: usize,
    /// How often each one's share was found wrong.
    marks: Vec<u32>,
    /// Rows that are interpolated through, with their weights.
    chosen: Vec<usize>,
    weights: Vec<Limbs>,
    decodings: usize,
}

impl Shares {
    /// `rows`: at least `threshold`.
    pub(super) fn new(rows: impl Iterator<Item = (u32, Vec<Scalar>)>, threshold: usize) -> Self {
        let (xs, rows): (Vec<u32>, Vec<Vec<Scalar>>) = rows.unzip();
        let marks = vec![0; xs.len()];
        let mut shares = Self { xs, rows, threshold, marks, chosen: Vec::new(), weights: Vec::new(), decodings: 0 };
        shares.choose();
        shares
    }

    /// T rows with the fewest marks.
    fn choose(&mut self) {
        let mut places: Vec<usize> = (0..self.xs.len()).collect();
        places.sort_by_key(|&place| self.marks[place]);
        places.truncate(self.threshold);
        self.weights = weights_at_zero(&places.iter().map(|&place| self.xs[place]).collect::<Vec<_>>());
        self.chosen = places;
    }

    /// The secret of the member at `place` in U2, which `fits` recognises.
    pub(super) fn secret(&mut self, place: usize, fits: impl Fn(&Scalar) -> Result<bool, Refused>) -> Result<Scalar, Refused> {
        let shares: Vec<Limbs> = self.chosen.iter().map(|&row| limbs(&self.rows[row][place])).collect();
        let secret = combine(&self.weights, &shares);
        if fits(&secret)? {
            return Ok(secret);
        }
        self.decodings += 1;
        if self.decodings > MAX_DECODINGS {
            return Err(Refused::WrongShares);
        }
        let all: Vec<Scalar> = self.rows.iter().map(|row| row[place]).collect();
        let decoded = decode(&self.xs, &all, self.threshold).ok_or(Refused::WrongShares)?;
        if !fits(&decoded.secret)? {
            return Err(Refused::WrongShares);
        }
        for wrong in decoded.wrong {
            self.marks[wrong] += 1;
        }
        self.choose();
        Ok(decoded.secret)
    }

    /// Who opened a share that was found wrong, ascending.
    pub(super) fn wrong(&self) -> Vec<u32> {
        self.xs.iter().zip(&self.marks).filter(|(_, marks)| **marks > 0).map(|(x, _)| *x).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::crypto::random_scalars;
    use crate::crypto::shamir::Polynomial;

    const THRESHOLD: usize = 7;

    /// Shares of `secrets` at 1 to 11.
    fn rows(secrets: &[Scalar]) -> Vec<(u32, Vec<Scalar>)> {
        let polynomials: Vec<Polynomial> = secrets.iter().map(|secret| Polynomial::hiding(secret, THRESHOLD).unwrap()).collect();
        (1..=11).map(|x| (x, polynomials.iter().map(|polynomial| polynomial.at(x)).collect())).collect()
    }

    #[test]
    fn who_opens_wrong_shares_is_named_and_costs_one_decoding() {
        let secrets = random_scalars(100).unwrap();
        let mut rows = rows(&secrets);
        for liar in [2, 5] {
            rows[liar].1.iter_mut().for_each(|share| *share += Scalar::ONE);
        }
        let mut shares = Shares::new(rows.into_iter(), THRESHOLD);
        for (place, secret) in secrets.iter().enumerate() {
            assert_eq!(shares.secret(place, |found| Ok(found == secret)), Ok(*secret));
        }
        assert_eq!(shares.wrong(), [3, 6]);
        assert_eq!(shares.decodings, 1);
    }

    #[test]
    fn shares_that_are_wrong_for_each_secret_anew_end_the_attempt_after_a_limit() {
        let secrets = random_scalars(200).unwrap();
        let mut rows = rows(&secrets);
        // Every dealer deals wrong shares to two others, so that all eleven look like liars in turn.
        for (place, _) in secrets.iter().enumerate() {
            rows[place % 11].1[place] += Scalar::ONE;
            rows[(place + 4) % 11].1[place] += Scalar::ONE;
        }
        let mut shares = Shares::new(rows.into_iter(), THRESHOLD);
        let found = secrets.iter().enumerate().map(|(place, secret)| shares.secret(place, |found| Ok(found == secret)));
        let refused = found.into_iter().find_map(Result::err);
        assert_eq!(refused, Some(Refused::WrongShares));
        assert_eq!(shares.decodings, MAX_DECODINGS + 1);
    }
}
