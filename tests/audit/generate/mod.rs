//! Random questions as SQL text, made of every construct that is read.
//!
//! To add a construct: an expression is a row of [`scalar::TEMPLATES`], an aggregate a row of [`aggregate::TEMPLATES`], anything else a
//! name in [`clause::CLAUSES`] or [`clause::SOURCES`] and the lines of [`clause`] that write it. The fuzz then asks for it until it has bound often enough.

mod aggregate;
mod clause;
mod scalar;

use std::collections::{BTreeMap, BTreeSet};

use crate::dice::Dice;

/// A question, and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) sql: String,
    pub(crate) max_groups_per_person: u32,
    pub(crate) constructs: BTreeSet<&'static str>,
}

/// Every construct that must occur: the functions and aggregates that the compiler reads, and the clauses listed here.
pub(crate) fn constructs() -> BTreeSet<&'static str> {
    let functions = commun_sql::FUNCTIONS.iter().map(|(name, ..)| *name);
    let aggregates = commun_sql::AGGREGATES.iter().map(|(name, _)| *name);
    let written = scalar::TEMPLATES.iter().map(|template| template.construct);
    let written = written.chain(aggregate::TEMPLATES.iter().map(|template| template.construct));
    functions.chain(aggregates).chain(clause::CLAUSES.iter().chain(clause::SOURCES).copied()).chain(written).collect()
}

/// A question being written.
pub(crate) struct Draft<'d> {
    pub(crate) dice: &'d mut Dice,
    pub(crate) used: BTreeSet<&'static str>,
    /// What must occur, where it can be together.
    pub(crate) wanted: Vec<&'static str>,
    /// Columns of text that FROM makes visible.
    pub(crate) texts: Vec<&'static str>,
}

impl Draft<'_> {
    /// Whether to write something: when it is wanted, else by chance.
    pub(crate) fn takes(&mut self, construct: &'static str, once_in: usize) -> bool {
        let taken = self.wants(construct) || self.dice.once_in(once_in);
        if taken {
            self.used.insert(construct);
        }
        taken
    }

    pub(crate) fn wants(&self, construct: &str) -> bool {
        self.wanted.contains(&construct)
    }

    pub(crate) fn wants_one_of(&self, constructs: &[&str]) -> bool {
        constructs.iter().any(|construct| self.wants(construct))
    }
}

/// A random question that has some constructs, as far as they can stand together.
pub(crate) fn question(dice: &mut Dice, wanted: &[&'static str]) -> Question {
    let mut draft = Draft { dice, used: BTreeSet::new(), wanted: wanted.to_vec(), texts: vec!["area", "mode"] };
    let (sql, max_groups_per_person) = clause::question(&mut draft);
    Question { sql, max_groups_per_person, constructs: draft.used }
}

/// The constructs that have bound least often: three clauses, two aggregates, three expressions; ties by chance.
pub(crate) fn rarest(bound: &BTreeMap<&'static str, u32>, dice: &mut Dice) -> Vec<&'static str> {
    let mut rarest = |belongs: &dyn Fn(&str) -> bool, count: usize| -> Vec<&'static str> {
        let mut names: Vec<(u32, u64, &'static str)> =
            bound.iter().filter(|(name, _)| belongs(name)).map(|(name, count)| (*count / 2, dice.next(), *name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, _, name)| name).take(count).collect()
    };
    let is_clause = |name: &str| clause::CLAUSES.contains(&name) || clause::SOURCES.contains(&name);
    let is_aggregate = |name: &str| aggregate::TEMPLATES.iter().any(|template| template.construct == name);
    let chosen = [rarest(&is_clause, 3), rarest(&is_aggregate, 2), rarest(&|name| !is_clause(name) && !is_aggregate(name), 3)];
    chosen.concat()
}

/// A text with `{}` filled in, in order.
pub(crate) fn filled(text: &str, parts: &[String]) -> String {
    let mut pieces = text.split("{}");
    let first = pieces.next().unwrap().to_owned();
    pieces.zip(parts).fold(first, |filled, (piece, part)| filled + part + piece)
}
