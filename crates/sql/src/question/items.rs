//! SELECT and GROUP BY: which expressions are group keys, what is asked of each group, and how columns are called in the answer.

use commun_domain::error::Position;
use commun_domain::plan::{Estimate, GroupingSet, Key, KeyKind, KeySource, OpenKey, time};
use commun_domain::{Delta, Refusal};
use sqlparser::ast::{Expr, SelectItem, Value};

use super::aggregate::{Outputs, default_name, has_aggregate};
use super::scope::{Meaning, OpenColumn, Scope, plain_name};
use super::types::{Type, Typed};
use crate::refuse::{bare, invalid, not_private, place_of};

/// Most values that a number or a time may have as a group key.
pub const MAX_KEY_VALUES: u64 = 10_000;

/// Most grouping sets.
const MAX_GROUPING_SETS: usize = 256;

/// What a group key is before it has a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Partition,
    Open(OpenColumn),
    Typed(Typed),
}

/// One item of SELECT.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// Alias, or the name of a plain key.
    name: Option<String>,
    /// The name that an aggregate gets without an alias.
    base: String,
    pub(crate) at: Option<Position>,
}

impl Item {
    /// How other clauses may call it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// What an item is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The key at this index.
    Key(u16),
    /// `GROUPING(keys)`
    Grouping(Vec<u16>),
    /// A number computed from aggregates.
    Estimate(Estimate),
}

/// SELECT and GROUP BY of one question, as far as they are read.
pub(crate) struct Questions<'s, 'a> {
    pub(crate) scope: &'s Scope<'a>,
    pub(crate) keys: Vec<Source>,
    key_names: Vec<String>,
    pub(crate) items: Vec<Item>,
    pub(crate) grouping_sets: Vec<GroupingSet>,
}

/// A SELECT item as it is written.
struct Written<'e> {
    expr: &'e Expr,
    alias: Option<String>,
    at: Option<Position>,
}

impl<'s, 'a> Questions<'s, 'a> {
    /// Reads both clauses.
    pub(crate) fn read(
        scope: &'s Scope<'a>,
        items: &[SelectItem],
        group_by: &[Expr],
        select: Option<Position>,
        outputs: &mut Outputs,
    ) -> Result<Self, Refusal> {
        let written: Vec<Written<'_>> = items.iter().map(|item| written_item(item, select)).collect::<Result<_, _>>()?;
        let mut this = Self { scope, keys: Vec::new(), key_names: Vec::new(), items: Vec::new(), grouping_sets: Vec::new() };
        // Keys stand in the order of SELECT, so that the grid is in the order of the answer.
        let mut selected: Vec<Option<Source>> = Vec::new();
        for item in &written {
            selected.push(if has_aggregate(item.expr) { None } else { Some(this.source(item.expr)?) });
        }
        let grouped = this.group_by(group_by, &written, &selected)?;
        for (source, (at, name)) in grouped.all.iter().zip(&grouped.places) {
            if !selected.iter().flatten().any(|key| key == source) {
                let hint = name.as_ref().map_or_else(|| "add the expression to SELECT".to_owned(), |name| format!("add {name} to SELECT"));
                return Err(invalid(*at, "a group key is not selected", hint));
            }
        }
        for (item, source) in written.iter().zip(&selected) {
            let Some(source) = source else { continue };
            if this.keys.contains(source) {
                let name = item.alias.clone().unwrap_or_else(|| "this".to_owned());
                return Err(invalid(item.at, format!("{name} is selected twice"), "select it once"));
            }
            if !grouped.all.contains(source) {
                let name = column_of(item.expr).unwrap_or_else(|| "the expression".to_owned());
                return Err(invalid(item.at, format!("{name} is selected but is not a group key"), format!("add GROUP BY {name}")));
            }
            this.keys.push(source.clone());
            this.key_names.push(item.alias.clone().or_else(|| column_of(item.expr)).unwrap_or_else(|| format!("key_{}", this.keys.len())));
        }
        this.grouping_sets = this.sets(&grouped)?;

        let mut key = 0u16;
        for (item, source) in written.into_iter().zip(selected) {
            let read = match source {
                Some(_) => {
                    key += 1;
                    let name = this.key_names.get(usize::from(key - 1)).cloned();
                    Item { kind: Kind::Key(key - 1), name, base: String::new(), at: item.at }
                }
                None => this.computed(item, outputs)?,
            };
            this.items.push(read);
        }
        Ok(this)
    }

    fn computed(&self, item: Written<'_>, outputs: &mut Outputs) -> Result<Item, Refusal> {
        let Written { expr, alias, at } = item;
        let base = match bare(expr) {
            Expr::Function(function) => default_name(function),
            _ => "value".to_owned(),
        };
        let kind = match self.grouping(expr)? {
            Some(keys) => Kind::Grouping(keys),
            None => Kind::Estimate(self.estimate(expr, outputs, alias.as_deref().unwrap_or(&base), 1)?),
        };
        let base = if matches!(kind, Kind::Grouping(_)) { "grouping".to_owned() } else { base };
        Ok(Item { kind, name: alias, base, at })
    }

    /// What an expression without aggregates would be as a key.
    fn source(&self, expr: &Expr) -> Result<Source, Refusal> {
        let at = place_of(expr);
        match self.scope.column(expr)? {
            Some(Meaning::Partition) => Ok(Source::Partition),
            Some(Meaning::Open(open)) if self.scope.relation.as_table().is_none() => Err(open.refused_of_persons(at)),
            Some(Meaning::Open(open)) => Ok(Source::Open(open)),
            Some(Meaning::Unit) => {
                let unit = &self.scope.contract.unit_column;
                Err(not_private(
                    at,
                    format!("{unit} names people, so it is neither a group key nor part of an answer"),
                    format!("count people: COUNT(DISTINCT {unit})"),
                ))
            }
            _ => {
                let typed = self.scope.label(expr, 1)?;
                if typed.as_constant().is_some() || typed.of == Type::Null {
                    return Err(not_private(at, "a constant is no group key", "select keys and aggregates"));
                }
                Ok(Source::Typed(typed))
            }
        }
    }

    /// The key that an expression is.
    pub(crate) fn key(&self, expr: &Expr) -> Result<u16, Refusal> {
        if let Expr::Identifier(ident) = bare(expr) {
            let name = plain_name(ident)?;
            if !self.scope.has(&name)
                && let Some(index) = self.key_names.iter().position(|other| *other == name)
            {
                return Ok(u16::try_from(index).unwrap_or(u16::MAX));
            }
        }
        let source = self.source(expr)?;
        let index = self.keys.iter().position(|key| *key == source);
        index.and_then(|index| u16::try_from(index).ok()).ok_or_else(|| {
            invalid(place_of(expr), "this is neither a group key nor an aggregate", "use a key of GROUP BY, or aggregate it")
        })
    }
}

/// GROUP BY as it is read: every key once, and the sets of them.
struct Grouped {
    all: Vec<Source>,
    /// Where each stands first, and its name if it is a plain column.
    places: Vec<(Option<Position>, Option<String>)>,
    /// Of each element of GROUP BY, the sets of keys (indices into `all`) that it offers.
    elements: Vec<Vec<Vec<usize>>>,
}

impl Questions<'_, '_> {
    fn group_by(&self, group_by: &[Expr], items: &[Written<'_>], selected: &[Option<Source>]) -> Result<Grouped, Refusal> {
        let mut grouped = Grouped { all: Vec::new(), places: Vec::new(), elements: Vec::new() };
        for expr in group_by {
            let at = place_of(expr);
            let mut read = |exprs: &[Expr]| -> Result<Vec<usize>, Refusal> {
                exprs.iter().map(|expr| self.grouped_key(expr, items, selected).map(|source| grouped.place(source, expr))).collect()
            };
            let sets = match bare(expr) {
                Expr::Rollup(parts) => {
                    let parts = parts.iter().map(|part| read(part)).collect::<Result<Vec<_>, _>>()?;
                    (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect()
                }
                Expr::Cube(parts) => {
                    let parts = parts.iter().map(|part| read(part)).collect::<Result<Vec<_>, _>>()?;
                    if parts.len() > 8 {
                        return Err(invalid(at, "CUBE takes at most 8 keys", "write GROUPING SETS with the sums that you need"));
                    }
                    let subset = |mask: usize| {
                        let chosen = parts.iter().enumerate().filter(|(index, _)| mask >> (parts.len() - 1 - index) & 1 == 1);
                        chosen.flat_map(|(_, keys)| keys.clone()).collect()
                    };
                    (0..1usize << parts.len()).rev().map(subset).collect()
                }
                Expr::GroupingSets(sets) => sets.iter().map(|set| read(set)).collect::<Result<Vec<_>, _>>()?,
                // `()` is the sum over everything, `(a, b)` both keys.
                Expr::Tuple(keys) => vec![read(keys)?],
                _ => vec![read(std::slice::from_ref(expr))?],
            };
            grouped.elements.push(sets);
        }
        Ok(grouped)
    }

    /// A column first, then an alias, as in `PostgreSQL`; or the number of an item.
    fn grouped_key(&self, expr: &Expr, items: &[Written<'_>], selected: &[Option<Source>]) -> Result<Source, Refusal> {
        let at = place_of(expr);
        let key_of = |index: usize| match &selected[index] {
            Some(source) => Ok(source.clone()),
            None => Err(invalid(at, "an aggregate is no group key", "group by the other items of SELECT")),
        };
        match bare(expr) {
            Expr::Identifier(ident) => {
                let name = plain_name(ident)?;
                match items.iter().position(|item| item.alias.as_ref() == Some(&name)) {
                    Some(index) if !self.scope.has(&name) => key_of(index),
                    _ => self.source(expr),
                }
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false) => {
                    let index =
                        digits.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1)).filter(|index| *index < items.len());
                    let index =
                        index.ok_or_else(|| invalid(at, "SELECT has no item of this number", format!("write 1 to {}", items.len())))?;
                    key_of(index)
                }
                _ => Err(invalid(at, "a value is no group key", "group by columns")),
            },
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                Err(invalid(at, "grouping sets do not stand inside each other here", "write them one by one"))
            }
            _ => self.source(expr),
        }
    }

    /// The grouping sets, as indices of keys; none when every key is always grouped by.
    fn sets(&self, grouped: &Grouped) -> Result<Vec<GroupingSet>, Refusal> {
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        for element in &grouped.elements {
            let mut product = Vec::new();
            for set in &sets {
                for more in element {
                    product.push([set.as_slice(), more].concat());
                }
            }
            if product.len() > MAX_GROUPING_SETS {
                let at = grouped.places.first().and_then(|(at, _)| *at);
                return Err(invalid(
                    at,
                    format!("more than {MAX_GROUPING_SETS} grouping sets"),
                    "write GROUPING SETS with the sums that you need",
                ));
            }
            sets = product;
        }
        let mut found: Vec<GroupingSet> = Vec::new();
        for set in sets {
            let mut keys: Vec<u16> = set
                .into_iter()
                .filter_map(|place| self.keys.iter().position(|key| *key == grouped.all[place]))
                .filter_map(|index| u16::try_from(index).ok())
                .collect();
            keys.sort_unstable();
            keys.dedup();
            found.push(GroupingSet { keys });
        }
        let whole = found.len() == 1 && found[0].keys.len() == self.keys.len();
        Ok(if whole { Vec::new() } else { found })
    }

    /// The keys of the plan.
    pub(crate) fn plan_keys(&self) -> Result<Vec<Key>, Refusal> {
        let places = self.items.iter().filter(|item| matches!(item.kind, Kind::Key(_))).map(|item| item.at);
        let keys = self.keys.iter().zip(&self.key_names).zip(places);
        keys.map(|((source, name), at)| Ok(Key { name: name.clone(), source: key_source(source, at)? })).collect()
    }

    /// Names of the answer's columns in SELECT order: aliases and keys as they are, other outputs made unique.
    pub(crate) fn names(&self) -> Result<Vec<String>, Refusal> {
        let items = &self.items;
        let mut names: Vec<Option<String>> = items.iter().map(|item| item.name.clone()).collect();
        let is_estimate = |item: &Item| matches!(item.kind, Kind::Estimate(_));
        for (number, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            let twice = names[..number].iter().flatten().any(|other| other == name);
            let margin = items
                .iter()
                .zip(&names)
                .any(|(item, other)| is_estimate(item) && other.as_deref().is_some_and(|other| name.strip_suffix("_moe") == Some(other)));
            if twice || margin {
                let hint = "give it another name with AS; the margin of error of an output x is called x_moe";
                return Err(invalid(items[number].at, format!("{name} names two columns of the answer"), hint));
            }
        }
        for number in 0..items.len() {
            if names[number].is_none() {
                let base = &items[number].base;
                let free = |candidate: &String| {
                    names.iter().flatten().all(|taken| {
                        taken != candidate && taken.strip_suffix("_moe") != Some(candidate) && candidate.strip_suffix("_moe") != Some(taken)
                    })
                };
                let candidates = std::iter::once(base.clone()).chain((2..).map(|suffix: u32| format!("{base}_{suffix}")));
                names[number] = candidates.into_iter().find(free);
            }
        }
        Ok(names.into_iter().flatten().collect())
    }
}

impl Grouped {
    fn place(&mut self, source: Source, expr: &Expr) -> usize {
        self.all.iter().position(|other| *other == source).unwrap_or_else(|| {
            self.all.push(source);
            self.places.push((place_of(expr), column_of(expr)));
            self.all.len() - 1
        })
    }
}

fn written_item(item: &SelectItem, select: Option<Position>) -> Result<Written<'_>, Refusal> {
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, None),
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(plain_name(alias)?)),
        SelectItem::ExprWithAliases { expr, aliases: _ } => {
            return Err(invalid(place_of(expr), "one item has several names", "write one name after AS"));
        }
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
            return Err(not_private(
                select,
                "* asks for rows, and rows never leave a holder",
                "ask for counts and sums: COUNT(*), COUNT(DISTINCT unit), SUM(column)",
            ));
        }
    };
    Ok(Written { expr, alias, at: place_of(expr).or(select) })
}

/// The name of a plain column.
fn column_of(expr: &Expr) -> Option<String> {
    match bare(expr) {
        Expr::Identifier(ident) => plain_name(ident).ok(),
        Expr::CompoundIdentifier(parts) => parts.last().and_then(|ident| plain_name(ident).ok()),
        _ => None,
    }
}

/// The declared values of a key.
fn key_source(source: &Source, at: Option<Position>) -> Result<KeySource, Refusal> {
    let Typed { value, of } = match source {
        Source::Typed(typed) => typed,
        Source::Partition => return Ok(KeySource::Partition),
        Source::Open(open) => return Ok(KeySource::Open(open_key(open))),
    };
    let (values, labels, kind): (Vec<i64>, Vec<String>, KeyKind) = match of {
        Type::Text { values, .. } => ((0..).take(values.len()).collect(), values.as_ref().clone(), KeyKind::Text),
        Type::Boolean => (vec![0, 1], vec!["false".to_owned(), "true".to_owned()], KeyKind::Boolean),
        Type::Number { lo, hi, scale } => {
            if hi.abs_diff(*lo) >= MAX_KEY_VALUES {
                return Err(not_private(
                    at,
                    format!("this number may have more than {MAX_KEY_VALUES} values, too many for a group key"),
                    "make classes: WIDTH_BUCKET(x, low, high, classes), FLOOR(x / 10) or CASE; or use a column with a code list",
                ));
            }
            ((*lo..=*hi).collect(), (*lo..=*hi).map(|units| decimal(units, *scale)).collect(), KeyKind::Number)
        }
        Type::Time { lo, hi, grain, .. } => {
            let Some(grain) = grain else {
                return Err(not_private(
                    at,
                    "a time has too many values for a group key",
                    "write DATE_TRUNC('month', time) or EXTRACT(hour FROM time)",
                ));
            };
            let limit = usize::try_from(MAX_KEY_VALUES).unwrap_or(usize::MAX);
            let values: Vec<i64> = std::iter::successors(Some(grain.of(*lo)), |start| Some(grain.next(*start)))
                .take_while(|start| start <= hi)
                .take(limit + 1)
                .collect();
            if values.len() > limit {
                return Err(not_private(at, format!("there are more than {MAX_KEY_VALUES} such periods"), "use longer periods"));
            }
            let dates_only = !matches!(grain, time::Truncation::Hour | time::Truncation::Minute);
            let labels = values.iter().map(|seconds| time::format(*seconds, dates_only)).collect();
            (values, labels, KeyKind::Time)
        }
        Type::Null => return Err(not_private(at, "this is always NULL", "use a column")),
    };
    if values.is_empty() {
        return Err(not_private(at, "this key has no values", "use another column"));
    }
    Ok(KeySource::Values { value: value.clone(), values, labels, kind })
}

/// Its size, delta and share are the whole question's to say (`fit_open_key`).
fn open_key(OpenColumn { column, max_bytes, contract: _ }: &OpenColumn) -> OpenKey {
    let (column, max_names, delta) = (column.clone(), 1, Delta::ZERO);
    OpenKey { column, max_bytes: *max_bytes, max_names, delta, share_num: 1, share_den: 1, names: None }
}

/// Units of 10^-scale as a decimal.
fn decimal(units: i64, scale: u8) -> String {
    if scale == 0 {
        return units.to_string();
    }
    let width = usize::from(scale) + 1;
    let digits = format!("{:0>width$}", units.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    format!("{}{whole}.{fraction}", if units < 0 { "-" } else { "" })
}
