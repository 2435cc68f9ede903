//! Whether two answers are as near as is priced: each output by itself, all of them by their shares, and what leaves by its noise.

use commun_domain::plan::PrivatePlan;
use commun_domain::units::Rho;
use commun_privacy::price;

use crate::naive::price::{Fraction, distances, loss, squared};

/// Of each output the squared distance over what is priced for one partition; an error says what moves further than `times` of it.
pub(crate) fn within(
    plan: &PrivatePlan,
    requested: Rho,
    one: &[Vec<i128>],
    other: &[Vec<i128>],
    times: usize,
) -> Result<Vec<Fraction>, String> {
    let times = Fraction::whole(u64::try_from(times).unwrap());
    let (mut parts, mut shares) = (Vec::new(), Fraction::whole(0u8));
    let outputs = plan.outputs.iter().map(|output| (output.name.as_str(), output.share_num, output.share_den));
    let clipped = plan.clipped.map(|clipped| ("clipped people", clipped.share_num, clipped.share_den));
    for (((name, num, den), distance), most) in outputs.chain(clipped).zip(distances(one, other)).zip(squared(plan)) {
        let part = Fraction::of(distance, most);
        if !part.at_most(&times) {
            return Err(format!("{name} moves too far: {part:?} of {times:?}"));
        }
        shares = shares.plus(&part.times(&Fraction::of(num, den)));
        parts.push(part);
    }
    if !shares.at_most(&times) {
        return Err(format!("all outputs together move too far: {shares:?} of {times:?}"));
    }
    let rho = Fraction::of(requested.units(), 1u64 << 40).times(&times);
    let noise = price::noise(plan, requested, 1, 1).map_err(|error| error.to_string())?;
    let lost = loss(&noise, one, other);
    if lost.at_most(&rho) { Ok(parts) } else { Err(format!("what leaves tells {lost:?} of {rho:?}")) }
}
