//! The same question with fewer and larger groups: keys by a coarser attribute of a public table, or left out.
//!
//! Noise is drawn for each cell, so a coarser question has fewer cells with the same noise in each, while cells that are added up afterwards
//! bring the noise of every one of them along. Only keys and bounds change here; nothing of it is asked.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::contract::DataContract;
use commun_domain::plan::{AnswerValue, Key, KeySource, OpenKey, PrivatePlan};

/// Most coarser questions that are shown.
const MOST: usize = 12;

/// One coarser question.
#[derive(Clone, Debug)]
pub struct Coarser {
    /// What changes, in words.
    pub what: String,
    /// Enough of its plan for margins: the keys are placeholders with as many values as the true ones.
    pub plan: PrivatePlan,
    /// Its cells.
    pub cells: u64,
    /// Cells of the finer question that one of its cells holds, at most; `None` where they do not add up to it, as names of an open group key that are
    /// not shown are missing.
    pub holds: Option<u64>,
}

/// A key made coarser.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// Name of the public table and its attribute.
    attribute: String,
    values: usize,
    /// Finer values in one, at most.
    holds: usize,
}

/// Coarser forms of a question, the finest first.
pub fn coarser(contract: &DataContract, plan: &PrivatePlan) -> Vec<Coarser> {
    let steps: Vec<Vec<Step>> = plan.keys.iter().map(|key| steps_of(contract, key)).collect();
    let mut found = Vec::new();
    for (place, key) in plan.keys.iter().enumerate() {
        for step in &steps[place] {
            found.extend(with(plan, format!("{} by {}", key.name, step.attribute), |at| (at == place).then_some(step), |_| false));
        }
        // Over several periods people are not counted together, and a person would lose more.
        if key.source != KeySource::Partition || plan.partitions.len() == 1 {
            found.extend(with(plan, format!("without {}", key.name), |_| None, |at| at == place));
        }
    }
    // Where several keys have the same codes, such as home and place of work, all of them at once.
    let attributes: BTreeSet<&str> = steps.iter().flatten().map(|step| step.attribute.as_str()).collect();
    for attribute in attributes {
        let step = |at: usize| steps[at].iter().find(|step| step.attribute == attribute);
        let keys: Vec<&str> =
            plan.keys.iter().enumerate().filter(|(at, _)| step(*at).is_some()).map(|(_, key)| key.name.as_str()).collect();
        if keys.len() > 1 {
            found.extend(with(plan, format!("{} by {attribute}", keys.join(" and ")), step, |_| false));
        }
    }
    found.sort_by(|a, b| b.cells.cmp(&a.cells).then_with(|| a.what.cmp(&b.what)));
    found.truncate(MOST);
    found
}

fn with<'a>(
    plan: &PrivatePlan,
    what: String,
    step: impl Fn(usize) -> Option<&'a Step>,
    dropped: impl Fn(usize) -> bool,
) -> Option<Coarser> {
    let mut coarse = PrivatePlan {
        keys: Vec::new(),
        grouping_sets: Vec::new(),
        having: None,
        order: Vec::new(),
        offset: 0,
        limit: None,
        ..plan.clone()
    };
    coarse.columns.retain(|column| matches!(column.value, AnswerValue::Estimate(_)));
    let (mut holds, mut groups, mut adds_up) = (1u64, 1u64, true);
    for (place, key) in plan.keys.iter().enumerate() {
        let values = u64::try_from(key.cardinality(plan)).ok()?;
        if dropped(place) {
            if let KeySource::Open(open) = &key.source {
                without_share(&mut coarse, open);
                adds_up = false;
            }
            holds = holds.checked_mul(values)?;
            continue;
        }
        let key = step(place).map_or_else(|| key.clone(), |step| placeholder(key, step.values));
        holds = holds.checked_mul(step(place).map_or(Some(1), |step| u64::try_from(step.holds).ok())?)?;
        if key.source != KeySource::Partition {
            groups = groups.checked_mul(u64::try_from(key.cardinality(plan)).ok()?)?;
        }
        coarse.keys.push(key);
    }
    // Nobody can be in more groups of a period than there are.
    coarse.max_groups_per_person = plan.max_groups_per_person.min(u32::try_from(groups).unwrap_or(u32::MAX));
    if !coarse.can_clip() {
        with_clipped_share(&mut coarse);
    }
    let cells = coarse.cells()?;
    Some(Coarser { what, plan: coarse, cells, holds: adds_up.then_some(holds) })
}

/// The outputs have the share of the names too, when there is no open group key.
fn without_share(plan: &mut PrivatePlan, open: &OpenKey) {
    for output in &mut plan.outputs {
        // Shares are equal parts, as the compiler writes them.
        output.share_den = output.share_den.saturating_sub(open.share_num).max(1);
    }
}

/// The outputs have the share of clipped people too, where nobody can be clipped any more.
fn with_clipped_share(plan: &mut PrivatePlan) {
    if plan.clipped.take().is_some() {
        let outputs = u32::try_from(plan.outputs.len()).unwrap_or(u32::MAX);
        for output in &mut plan.outputs {
            (output.share_num, output.share_den) = (1, outputs);
        }
    }
}

fn placeholder(key: &Key, values: usize) -> Key {
    let source = match &key.source {
        KeySource::Values { value, kind, .. } => KeySource::Values {
            value: value.clone(),
            values: (0..).take(values).collect(),
            // In the order of the values, as text too.
            labels: (0..values).map(|label| format!("{label:09}")).collect(),
            kind: *kind,
        },
        KeySource::Open(_) | KeySource::Partition => key.source.clone(),
    };
    Key { name: key.name.clone(), source }
}

/// The attributes of public tables that each of the key's values has exactly one value of, and that have fewer values.
fn steps_of(contract: &DataContract, key: &Key) -> Vec<Step> {
    let KeySource::Values { labels, .. } = &key.source else { return Vec::new() };
    let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
    let mut steps: Vec<Step> = Vec::new();
    for dimension in &contract.dimensions {
        let codes: Vec<&str> = contract
            .code_list(&dimension.list, &dimension.version)
            .map_or_else(Vec::new, |list| list.codes.iter().map(|code| code.code.as_str()).collect());
        let columns = dimension.attributes.iter().map(|attribute| attribute.values.iter().map(String::as_str).collect());
        for finer in std::iter::once(codes).chain(columns) {
            let known: BTreeSet<&str> = finer.iter().copied().collect();
            if labels.is_empty() || !labels.is_subset(&known) {
                continue;
            }
            for attribute in &dimension.attributes {
                let name = format!("{}.{}", dimension.name, attribute.name);
                let step = step(&labels, finer.iter().copied().zip(attribute.values.iter().map(String::as_str)), name);
                steps.extend(step.filter(|step| !steps.iter().any(|known| known.attribute == step.attribute)));
            }
        }
    }
    steps
}

fn step<'a>(labels: &BTreeSet<&str>, pairs: impl Iterator<Item = (&'a str, &'a str)>, attribute: String) -> Option<Step> {
    let mut coarse_of: BTreeMap<&str, &str> = BTreeMap::new();
    for (fine, coarse) in pairs.filter(|(fine, _)| labels.contains(fine)) {
        if *coarse_of.entry(fine).or_insert(coarse) != coarse {
            return None;
        }
    }
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for coarse in coarse_of.values() {
        *held.entry(coarse).or_default() += 1;
    }
    let step = Step { attribute, values: held.len(), holds: held.values().copied().max()? };
    (step.values < labels.len()).then_some(step)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use commun_domain::Rho;
    use commun_domain::contract_toml::parse_contract;
    use commun_domain::query::{PriceRequest, QuerySettings};
    use commun_sql::compile;

    use super::*;

    const TRIPS: &str = include_str!("../../deploy/demo/data/trips.toml");

    /// What changes, cells, cells in one, groups that count.
    fn of(select: &str, max_groups_per_person: u32) -> Vec<(String, u64, u64, u32)> {
        let contract = parse_contract(TRIPS).unwrap();
        let sql = format!(
            "SELECT {select}, COUNT(*) AS n FROM trips.trip AS t JOIN trips.arrondissement AS a ON t.home_arr = a.code \
             WHERE ref_month = '2011-01' GROUP BY 1, 2"
        );
        let settings = QuerySettings { price: PriceRequest::Rho(Rho::ZERO), max_groups_per_person, intervals: true, clipped: false };
        let plan = compile(&sql, &contract, &settings).unwrap();
        let facts = |coarser: Coarser| (coarser.what, coarser.cells, coarser.holds.unwrap_or(0), coarser.plan.max_groups_per_person);
        coarser(&contract, &plan).into_iter().map(facts).collect()
    }

    fn row(what: &str, cells: u64, holds: u64, groups: u32) -> (String, u64, u64, u32) {
        (what.to_owned(), cells, holds, groups)
    }

    #[test]
    fn codes_become_attributes_and_attributes_coarser_ones() {
        let districts = of("home_arr, EXTRACT(hour FROM departure) AS hour", 4);
        let expected = [
            row("home_arr by arrondissement.province", 264, 8, 4),
            row("home_arr by arrondissement.region", 72, 22, 4),
            row("without hour", 43, 24, 4),
            row("without home_arr", 24, 43, 4),
        ];
        assert_eq!(districts, expected);
        // Each province lies in one region, and no region in one province. Nobody is in four of three groups.
        let provinces = of("a.province, EXTRACT(hour FROM departure) AS hour", 4);
        let expected =
            [row("province by arrondissement.region", 72, 5, 4), row("without province", 24, 11, 4), row("without hour", 11, 24, 4)];
        assert_eq!(provinces, expected);
        let regions = of("a.region, (km > 10) AS far", 4);
        assert_eq!(regions, [row("without far", 3, 2, 3), row("without region", 2, 3, 2)]);
    }

    /// The names' share of rho goes to the numbers, and names that are not shown are missing in a sum over those that are.
    #[test]
    fn without_an_open_key_the_numbers_have_its_share_and_nothing_adds_up_to_them() {
        let contract = parse_contract(include_str!("../../docs/reference/mobility.toml")).unwrap();
        let sql = "SELECT mode, employer, COUNT(*), SUM(km) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1, 2";
        let settings = QuerySettings { price: PriceRequest::Rho(Rho::ZERO), max_groups_per_person: 2, intervals: true, clipped: false };
        let plan = compile(sql, &contract, &settings).unwrap();
        let found = coarser(&contract, &plan);
        let facts: Vec<_> = found.iter().map(|coarser| (coarser.what.as_str(), coarser.cells, coarser.holds)).collect();
        let modes = u64::try_from(plan.keys[0].cardinality(&plan)).unwrap();
        assert_eq!(facts, [("without mode", 1024, Some(modes)), ("without employer", modes, None)]);
        let shares = |coarser: &Coarser| coarser.plan.outputs.iter().map(|output| (output.share_num, output.share_den)).collect::<Vec<_>>();
        assert_eq!((shares(&found[0]), shares(&found[1])), (vec![(1, 3); 2], vec![(1, 2); 2]));
        for coarser in &found {
            commun_privacy::price::noise(&coarser.plan, Rho::from_units(1 << 36), 1, 1).unwrap();
        }
    }

    /// Where nobody can be in more groups than count, nobody is clipped, and the numbers have that share too.
    #[test]
    fn coarser_questions_have_a_price_also_where_nobody_can_be_clipped_any_more() {
        let contract = parse_contract(include_str!("../../docs/reference/mobility.toml")).unwrap();
        let sql = "SELECT mode, COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";
        let settings = QuerySettings { price: PriceRequest::Rho(Rho::ZERO), max_groups_per_person: 1, intervals: true, clipped: true };
        let found = coarser(&contract, &compile(sql, &contract, &settings).unwrap());
        let without = found.iter().find(|coarser| coarser.what == "without mode").unwrap();
        assert_eq!((without.plan.clipped, without.plan.outputs[0].share_num), (None, 1));
        for coarser in &found {
            commun_privacy::price::noise(&coarser.plan, Rho::from_units(1 << 36), 1, 1).unwrap();
        }
    }

    #[test]
    fn keys_of_the_same_codes_become_coarser_together() {
        let both = of("home_arr, a.province", 1);
        assert!(both.contains(&row("home_arr and province by arrondissement.region", 9, 110, 1)), "{both:?}");
    }
}
