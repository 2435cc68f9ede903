//! Secrets from the shares that survivors opened: interpolation through T of them, and decoding when what comes out is not what was
//! committed to.

use curve25519_dalek::Scalar;

use super::{Dealer, WrongShare};
use crate::attempt::count;
use crate::cohort::Cohort;
use crate::crypto::reed_solomon::Code;
use crate::crypto::shamir::{combine, weights_at_zero};
use crate::crypto::wide::{Limbs, scalar};
use crate::refused::Refused;

/// Shares of all of U2's secrets.
pub(super) struct Shares {
    /// Who opened shares.
    xs: Vec<u32>,
    /// One row for each of them, U2 in order.
    rows: Vec<Vec<Limbs>>,
    /// U2: whose secrets they are about.
    dealers: Vec<u32>,
    threshold: usize,
    /// c: most decodings of one attempt, too. A member whose shares were wrong is not used again, so liars in one attempt cost about one each;
    /// where they cost more, more of them lie than the attempt is meant for, or they are ended cheaply.
    colluders: usize,
    /// How often each one's share was found wrong.
    marks: Vec<u32>,
    /// Rows that are interpolated through, with their weights.
    chosen: Vec<usize>,
    weights: Vec<Limbs>,
    /// Made for the first decoding.
    code: Option<Code>,
    decodings: usize,
    wrong: Vec<WrongShare>,
    dealer: Option<Dealer>,
}

impl Shares {
    /// `rows`: at least T of `cohort`. `dealers`: U2.
    pub(super) fn new(rows: impl Iterator<Item = (u32, Vec<Limbs>)>, dealers: &[u32], cohort: Cohort) -> Self {
        let (xs, rows): (Vec<u32>, Vec<Vec<Limbs>>) = rows.unzip();
        let mut shares = Self {
            marks: vec![0; xs.len()],
            xs,
            rows,
            dealers: dealers.to_vec(),
            threshold: count(cohort.threshold()),
            colluders: count(cohort.colluders()),
            chosen: Vec::new(),
            weights: Vec::new(),
            code: None,
            decodings: 0,
            wrong: Vec::new(),
            dealer: None,
        };
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
        let shares: Vec<Limbs> = self.chosen.iter().map(|&row| self.rows[row][place]).collect();
        let secret = combine(&self.weights, &shares);
        if fits(&secret)? {
            return Ok(secret);
        }
        let dealer = self.dealers.get(place).copied().ok_or(Refused::Fault)?;
        let mut unknown = Dealer { index: dealer, proved: false };
        if self.decodings == self.colluders {
            self.dealer = Some(unknown);
            return Err(Refused::WrongShares);
        }
        self.decodings += 1;
        let all: Vec<Scalar> = self.rows.iter().map(|row| scalar(&row[place])).collect();
        let decoded = self.code.get_or_insert_with(|| Code::new(&self.xs)).decode(&all, self.threshold);
        match decoded {
            Some(decoded) if fits(&decoded.secret)? => {
                for wrong in decoded.wrong {
                    self.marks[wrong] += 1;
                    self.wrong.push(WrongShare { dealer, holder: self.xs[wrong] });
                }
                self.choose();
                Ok(decoded.secret)
            }
            other => {
                unknown.proved = other.is_some_and(|other| self.xs.len() - other.wrong.len() >= self.threshold + self.colluders);
                self.dealer = Some(unknown);
                Err(Refused::WrongShares)
            }
        }
    }

    /// Whose secret could not be had.
    pub(super) const fn dealer(&self) -> Option<Dealer> {
        self.dealer
    }

    /// Shares that were found wrong, by dealer and holder.
    pub(super) fn wrong(&self) -> Vec<WrongShare> {
        let mut wrong = self.wrong.clone();
        wrong.sort_unstable();
        wrong
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::crypto::random_scalars;
    use crate::crypto::shamir::Polynomial;
    use crate::crypto::wide::limbs;

    const THRESHOLD: usize = 7;

    /// Eleven members, T = 7.
    fn shares(rows: Vec<(u32, Vec<Scalar>)>, colluders: u32) -> Shares {
        let dealers: Vec<u32> = (1..).take(rows[0].1.len()).collect();
        let rows = rows.into_iter().map(|(x, row)| (x, row.iter().map(limbs).collect()));
        Shares::new(rows, &dealers, Cohort::new(11, 7, colluders).unwrap())
    }

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
        let mut shares = shares(rows, 2);
        for (place, secret) in secrets.iter().enumerate() {
            assert_eq!(shares.secret(place, |found| Ok(found == secret)), Ok(*secret));
        }
        assert_eq!(shares.wrong(), [WrongShare { dealer: 1, holder: 3 }, WrongShare { dealer: 1, holder: 6 }]);
        assert_eq!((shares.decodings, shares.dealer()), (1, None));
    }

    #[test]
    fn shares_that_are_wrong_for_each_secret_anew_cost_c_decodings() {
        let secrets = random_scalars(20).unwrap();
        let mut rows = rows(&secrets);
        // Every dealer deals wrong shares to two others, so that all eleven look like liars in turn.
        for (place, _) in secrets.iter().enumerate() {
            rows[place % 11].1[place] += Scalar::ONE;
            rows[(place + 4) % 11].1[place] += Scalar::ONE;
        }
        let mut shares = shares(rows, 2);
        let found = secrets.iter().enumerate().map(|(place, secret)| shares.secret(place, |found| Ok(found == secret)));
        let refused = found.into_iter().find_map(Result::err);
        assert_eq!(refused, Some(Refused::WrongShares));
        assert_eq!(shares.decodings, 2);
        assert!(shares.dealer().is_some_and(|dealer| !dealer.proved));
    }

    #[test]
    fn a_dealer_of_another_secret_is_proved_a_liar_only_where_c_holders_cannot_make_it_seem_so() {
        let (signed, dealt) = (random_scalars(1).unwrap(), random_scalars(1).unwrap());
        let blamed = |rows: Vec<(u32, Vec<Scalar>)>| {
            let mut shares = shares(rows, 2);
            assert_eq!(shares.secret(0, |found| Ok(*found == signed[0])), Err(Refused::WrongShares));
            shares.dealer()
        };
        // T + c of nine or more holders agree on another secret.
        assert_eq!(blamed(rows(&dealt)), Some(Dealer { index: 1, proved: true }));
        assert_eq!(blamed(rows(&dealt).split_off(2)), Some(Dealer { index: 1, proved: true }));
        // With eight, two liars could have made an honest dealer's shares agree like that.
        assert_eq!(blamed(rows(&dealt).split_off(3)), Some(Dealer { index: 1, proved: false }));
        // Nothing decodes.
        let mut garbled = rows(&signed);
        garbled.iter_mut().take(5).for_each(|(x, row)| row[0] += Scalar::from(x.pow(3)));
        assert_eq!(blamed(garbled), Some(Dealer { index: 1, proved: false }));
    }
}
