//! One question and a data contract to a [`PrivatePlan`], or a refusal.
//!
//! In order: FROM makes columns visible (`from`, `scope`); WHERE restricts partition and rows (`partition`, `expression`); SELECT and
//! GROUP BY give keys and aggregates (`items`, `aggregate`); HAVING, ORDER BY and LIMIT are computed from the answer (`estimate`).

mod aggregate;
mod effort;
mod estimate;
mod expression;
mod from;
mod items;
mod literal;
mod partition;
mod prune;
mod scope;
mod types;

use commun_domain::calendar::Period;
use commun_domain::contract::{ColumnType, DataContract};
use commun_domain::error::Position;
use commun_domain::plan::open::MAX_NAMES;
use commun_domain::plan::relation::MAX_NUMBERS_AT_ONCE;
use commun_domain::plan::{
    Aggregate, AnswerColumn, AnswerValue, CLIPPED_SHARE, Clipped, Estimate, Key, KeySource, MAX_CELLS, Output, PLAN_VERSION, PrivatePlan,
};
use commun_domain::query::QuerySettings;
use commun_domain::{Document, Refusal, WireCode};
use sqlparser::ast::{Expr, SetExpr};
use sqlparser::keywords::Keyword;

use crate::clauses::{self, BareSelect, Construct, bare_select, query_parts};
use crate::refuse::{invalid, not_private, place_of, refuse};
use crate::text::{Parsed, parse};
use aggregate::Outputs;
use from::From;
use items::{Kind, Questions};
use literal::{Written, written};
use scope::{Scope, Use};

pub use aggregate::AGGREGATES;
pub use effort::MAX_EFFORT;
pub use expression::{FUNCTIONS, MAX_BUCKETS, MAX_LABEL_CHARS, MAX_LIST_ITEMS, MAX_PREDICATE_DEPTH};
pub use from::WINDOW_FUNCTIONS;
pub use items::MAX_KEY_VALUES;
pub use partition::MAX_PARTITIONS;
pub use types::MAX_NODES;

/// Most items in SELECT.
pub const MAX_SELECT_ITEMS: usize = 64;

/// A grid that has room for fewer names of an open group key is refused.
const LEAST_NAMES: u32 = 16;

/// Most things that leave the holders for one question: each takes its share of rho.
const MAX_OUTPUTS: usize = 128;

/// Compiles a question. The same text, contract and settings give the same bytes everywhere (P4); white space, comments, case of
/// keywords, parentheses and aliases of tables do not change them.
///
/// # Errors
/// `INVALID_QUERY` for syntax, names, types and values, `NOT_PRIVATE` for what cannot be answered privately as it stands; with a hint,
/// and a place unless the settings are at fault.
pub fn compile(sql: &str, contract: &DataContract, settings: &QuerySettings) -> Result<PrivatePlan, Refusal> {
    let parsed = parse(sql).map_err(|fault| refuse(WireCode::InvalidQuery, fault.at, fault.message, fault.hint))?;
    let refused = |construct: &Construct| not_private(construct.place(&parsed), format!("{} is not read", construct.name), construct.hint);
    let query = query_parts(&parsed.query).map_err(refused)?;
    let SetExpr::Select(select) = query.body else {
        return Err(refused(match query.body {
            SetExpr::SetOperation { .. } => clauses::SET_OPERATION,
            SetExpr::Query(_) => clauses::SUBQUERY,
            _ => clauses::VENDOR,
        }));
    };
    let BareSelect { items, from, filter, group_by, having } = bare_select(select).map_err(refused)?;
    let at = |keyword: Keyword| parsed.find(&[keyword]);
    let select = sqlparser_start(select).or_else(|| at(Keyword::SELECT));

    let reader = From::new(contract, &parsed);
    let names = reader.names(query.with)?;
    let mut scope = reader.scope(from, &names, 0)?;
    reader.check_used(&names)?;
    if items.is_empty() || items.len() > MAX_SELECT_ITEMS {
        return Err(invalid(select, format!("SELECT takes 1 to {MAX_SELECT_ITEMS} items"), "ask several questions"));
    }
    let missing = at(Keyword::WHERE).or_else(|| at(Keyword::FROM)).or(select);
    let mut outputs = Outputs::default();
    let questions = Questions::read(&scope, items, group_by, select, &mut outputs).map_err(|refusal| located(refusal, select))?;
    if !questions.items.iter().any(|item| matches!(item.kind, Kind::Estimate(_))) {
        let unit = &contract.unit_column;
        let hint = format!("add COUNT(*), COUNT(DISTINCT {unit}) or SUM(column)");
        return Err(not_private(select, "the question has no aggregate, and rows never leave a holder", hint));
    }
    let having = having.map(|having| questions.having(having, &mut outputs, 1)).transpose();
    let having = having.map_err(|refusal| located(refusal, at(Keyword::HAVING)))?;
    let order = questions.order(query.order_by, &mut outputs).map_err(|refusal| located(refusal, at(Keyword::ORDER)))?;
    let (keys, names) = (questions.plan_keys()?, questions.names()?);
    let columns = columns(&questions, names);
    let places: Vec<Option<Position>> = questions.items.iter().map(|item| item.at).collect();
    let grouping_sets = questions.grouping_sets;

    scope.restrict(filter).map_err(|refusal| located(refusal, missing))?;
    let (partitions, filter) = scope.restriction(missing)?;
    for used in scope.uses() {
        check_validity(&scope, &used, &partitions)?;
    }
    if outputs.all.is_empty() || outputs.all.len() > MAX_OUTPUTS {
        let message = format!("the question needs {} different aggregates, 1 to {MAX_OUTPUTS} are possible", outputs.all.len());
        return Err(not_private(select, message, "ask COUNT, SUM or AVG of something; or ask several questions"));
    }
    let mut plan = PrivatePlan {
        version: PLAN_VERSION,
        contract: contract.hash(),
        contract_name: contract.name.clone(),
        budget_domain: contract.budget_domain.clone(),
        relation: scope.relation.clone(),
        unit_column: contract.unit_column.clone(),
        partition_column: contract.partition_column.clone(),
        calendar: contract.calendar,
        partitions,
        filter,
        keys,
        max_groups_per_person: 1,
        outputs: Vec::new(),
        clipped: None,
        grouping_sets,
        columns,
        having,
        order,
        offset: query.offset.map(count).transpose()?.unwrap_or(0),
        limit: query.limit.map(count).transpose()?,
    };
    // Names are one more thing that leaves, with an equal share.
    let shares = outputs.all.len() + usize::from(plan.open_key().is_some());
    let share_den = u32::try_from(shares).unwrap_or(u32::MAX);
    fit_open_key(&mut plan, contract, share_den, &parsed)?;
    bound_groups(&mut plan, contract, settings, &parsed)?;
    outputs.fit_histograms(plan.cells().unwrap_or(MAX_CELLS));
    // Clipped people take their share first; what is left is shared equally.
    let (share_num, share_den) =
        if settings.clipped { (CLIPPED_SHARE.1 - CLIPPED_SHARE.0, share_den * CLIPPED_SHARE.1) } else { (1, share_den) };
    plan.outputs =
        outputs.all.into_iter().map(|(aggregate, condition, name)| Output { name, aggregate, condition, share_num, share_den }).collect();
    if plan.cells().is_none() {
        return Err(too_many_cells(parsed.find(&[Keyword::GROUP, Keyword::SELECT])));
    }
    prune::unread_columns(&mut plan);
    if settings.clipped {
        count_clipped(&mut plan)?;
    }
    let numbers = plan.relation.most_numbers();
    if !plan.relation.is_row_by_row() && numbers > MAX_NUMBERS_AT_ONCE {
        let message = format!(
            "one person could have {numbers} numbers in the joins, windows and groups of this question; {MAX_NUMBERS_AT_ONCE} are possible"
        );
        return Err(not_private(at(Keyword::FROM), message, "join fewer tables, group before joining, or ask several questions"));
    }
    check_people(&plan, contract, &places)?;
    // What nests too deep to be read back is refused here, with a hint, instead of at a holder.
    if PrivatePlan::from_bytes(&plan.to_bytes()).as_ref() != Ok(&plan) {
        return Err(invalid(select, "the question is nested too deeply, or too long", "write it more simply"));
    }
    Ok(plan)
}

/// The refusal at its own place, or else at its clause's.
fn located(refusal: Refusal, clause: Option<Position>) -> Refusal {
    Refusal { position: refusal.position.or(clause), ..refusal }
}

fn sqlparser_start(select: &sqlparser::ast::Select) -> Option<Position> {
    crate::text::start_of(select.select_token.0.span)
}

/// A literal number of rows.
fn count(expr: &Expr) -> Result<u64, Refusal> {
    let read = match written(expr) {
        Some(Written::Number { digits, negative: false }) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| invalid(place_of(expr), "LIMIT and OFFSET take a plain whole number", "write for example LIMIT 20"))
}

/// Columns in SELECT order.
fn columns(questions: &Questions<'_, '_>, names: Vec<String>) -> Vec<AnswerColumn> {
    let value = |kind: &Kind| match kind {
        Kind::Key(key) => AnswerValue::Key(*key),
        Kind::Grouping(keys) => AnswerValue::Grouping(keys.clone()),
        Kind::Estimate(estimate) => AnswerValue::Estimate(estimate.clone()),
    };
    questions.items.iter().zip(names).map(|(item, name)| AnswerColumn { name, value: value(&item.kind) }).collect()
}

/// A code list's version says for which periods its codes mean what they say; the hint names the version that does.
fn check_validity(scope: &Scope<'_>, used: &Use, partitions: &[Period]) -> Result<(), Refusal> {
    let contract = scope.contract;
    let Some(list) = contract.code_list(&used.list.name, &used.list.version) else { return Ok(()) };
    let Some(outside) = partitions.iter().find(|period| !list.covers(**period)) else { return Ok(()) };
    let write = |period: Period| contract.calendar.format(period);
    let message = format!(
        "{} uses {} of version {}, valid from {} to {}, not in {}",
        used.column,
        list.name,
        list.version,
        write(list.valid_from),
        write(list.valid_to),
        write(*outside)
    );
    let others: Vec<String> = contract
        .code_lists
        .iter()
        .filter(|other| other.name == list.name && other.covers(*outside))
        .map(|other| {
            let is_of = |column_type: &ColumnType| {
                matches!(column_type, ColumnType::Code { list, version } if *list == other.name && *version == other.version)
            };
            let tables = scope.relation.tables();
            let columns = contract.tables.iter().filter(|table| tables.contains(table.name.as_str())).flat_map(|table| &table.columns);
            let users: Vec<&str> = columns.filter(|column| is_of(&column.column_type)).map(|column| column.name.as_str()).collect();
            let columns = if users.is_empty() { "no column of this table".to_owned() } else { users.join(", ") };
            format!("version {} (used by {columns})", other.version)
        })
        .collect();
    let hint = if others.is_empty() {
        format!("no version of {} is valid in {}; ask other periods", list.name, write(*outside))
    } else {
        format!("in {} use {} of {}", write(*outside), others.join(" or "), list.name)
    };
    Err(invalid(used.at, message, hint))
}

/// People add up over cells only where each is in one of them: a person present in two partitions would be counted once or twice,
/// depending on both (sensitivity across partitions), and one in two groups twice.
fn check_people(plan: &PrivatePlan, contract: &DataContract, places: &[Option<Position>]) -> Result<(), Refusal> {
    let counts = |index: u16| plan.outputs.get(usize::from(index)).is_some_and(|output| output.aggregate == Aggregate::CountUnits);
    if !(0..MAX_OUTPUTS).filter_map(|index| u16::try_from(index).ok()).any(counts) {
        return Ok(());
    }
    let uses = |column: &AnswerColumn| {
        let mut found = false;
        if let AnswerValue::Estimate(estimate) = &column.value {
            estimate.visit(&mut |part| {
                found |= matches!(part, Estimate::Output(index) if counts(*index));
            });
        }
        found
    };
    let at = plan.columns.iter().zip(places).find(|(column, _)| uses(column)).and_then(|(_, at)| *at);
    let column = &contract.partition_column;
    let is_partition = |key: &u16| plan.keys.get(usize::from(*key)).is_some_and(|key| key.source == KeySource::Partition);
    let all: Vec<u16> = (0u16..).take(plan.keys.len()).collect();
    let sets: Vec<&[u16]> =
        if plan.grouping_sets.is_empty() { vec![&all] } else { plan.grouping_sets.iter().map(|set| set.keys.as_slice()).collect() };
    if plan.partitions.len() > 1 && sets.iter().any(|set| !set.iter().any(is_partition)) {
        return Err(not_private(
            at,
            format!("people are counted per partition, and the question reads {} together", plan.partitions.len()),
            format!("ask one partition, or select and group by {column} in every grouping set"),
        ));
    }
    let adds_up = sets.iter().any(|set| all.iter().any(|key| !is_partition(key) && !set.contains(key)));
    if adds_up && plan.max_groups_per_person > 1 {
        return Err(not_private(
            at,
            "people who count in several groups would count several times in a sum over them",
            "set commun.max_groups_per_person to 1, or ask the sum as a question of its own",
        ));
    }
    Ok(())
}

/// Has the number of clipped people released too, where that says something and a holder can work it out.
fn count_clipped(plan: &mut PrivatePlan) -> Result<(), Refusal> {
    let refused = |message: &str, hint: &str| Err(Refusal::new(WireCode::NotPrivate, message, hint));
    if plan.open_key().is_some() {
        return refused("clipped people are not counted beside an open group key", "ask without --clipped (SET commun.clipped)");
    }
    if !plan.can_clip() {
        return refused("no bound of this question can cut anybody, so nobody is clipped", "ask without --clipped (SET commun.clipped)");
    }
    plan.clipped = Some(Clipped { share_num: CLIPPED_SHARE.0, share_den: CLIPPED_SHARE.1 });
    if plan.counting_clipped().is_some_and(|people| people.relation.most_numbers() > MAX_NUMBERS_AT_ONCE) {
        let message = format!("to see who is clipped, one person could need more than {MAX_NUMBERS_AT_ONCE} numbers at once");
        return refused(&message, "ask fewer keys or aggregates at once, or ask without --clipped (SET commun.clipped)");
    }
    Ok(())
}

fn too_many_cells(at: Option<Position>) -> Refusal {
    invalid(at, format!("the group keys have more than {MAX_CELLS} combinations"), "use fewer keys, or coarser code lists")
}

/// An open key takes as many names as the other keys leave room for, and spends one `delta_conv`.
fn fit_open_key(plan: &mut PrivatePlan, contract: &DataContract, share_den: u32, parsed: &Parsed) -> Result<(), Refusal> {
    let at = parsed.find(&[Keyword::GROUP, Keyword::SELECT]);
    let open = |key: &Key| matches!(key.source, KeySource::Open(_));
    if plan.keys.iter().filter(|key| open(key)).count() > 1 {
        let hint = "ask two questions, or use columns with code lists";
        return Err(not_private(at, "a question has at most one group key of open text", hint));
    }
    let others = plan.keys.iter().filter(|key| !open(key)).try_fold(1u64, |cells, key| {
        let cells = cells.checked_mul(u64::try_from(key.cardinality(plan)).ok()?)?;
        (cells <= MAX_CELLS).then_some(cells)
    });
    let others = others.ok_or_else(|| too_many_cells(at))?;
    for key in &mut plan.keys {
        let KeySource::Open(open) = &mut key.source else { continue };
        open.max_names = u32::try_from(MAX_CELLS / others).unwrap_or(u32::MAX).min(MAX_NAMES);
        open.delta = contract.delta_conv;
        open.share_den = share_den;
        if open.max_names < LEAST_NAMES {
            return Err(too_many_cells(at));
        }
    }
    Ok(())
}

/// The grid's limit, and L0: no person can be in more groups of one partition than it has cells.
fn bound_groups(plan: &mut PrivatePlan, contract: &DataContract, settings: &QuerySettings, parsed: &Parsed) -> Result<(), Refusal> {
    let at = parsed.find(&[Keyword::GROUP, Keyword::SELECT]);
    let cells = plan.cells().ok_or_else(|| too_many_cells(at))?;
    let most = contract.max_groups_per_person;
    if !(1..=most).contains(&settings.max_groups_per_person) {
        return Err(Refusal::new(
            WireCode::InvalidQuery,
            format!("max_groups_per_person is {}, and {} allows 1 to {most}", settings.max_groups_per_person, contract.name),
            format!("set commun.max_groups_per_person to 1 to {most}"),
        ));
    }
    let partitions = if plan.partition_is_key() { u64::try_from(plan.partitions.len()).unwrap_or(u64::MAX) } else { 1 };
    let per_partition = u32::try_from(cells / partitions).unwrap_or(u32::MAX);
    plan.max_groups_per_person = settings.max_groups_per_person.min(per_partition).max(1);
    Ok(())
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod fuzz_tests;

#[cfg(test)]
mod tests;
