//! Columns that nothing reads are taken out of a plan's relation: a permit need not name them, and no holder computes them.

use std::collections::BTreeSet;

use commun_domain::plan::relation::{Folded, Relation, Windowed};
use commun_domain::plan::{Condition, PrivatePlan, Value};

type Names = BTreeSet<String>;

pub(super) fn unread_columns(plan: &mut PrivatePlan) {
    let wanted = plan.columns_read().into_iter().map(str::to_owned).collect();
    prune(&mut plan.relation, &wanted);
}

fn read_by<'v>(values: impl IntoIterator<Item = &'v Value>, conditions: impl IntoIterator<Item = &'v Condition>) -> Names {
    let mut names = Names::new();
    let mut visit = |name: &str| {
        names.insert(name.to_owned());
    };
    values.into_iter().for_each(|value| value.columns(&mut visit));
    conditions.into_iter().for_each(|condition| condition.columns(&mut visit));
    names
}

fn prune(relation: &mut Relation, wanted: &Names) {
    match relation {
        Relation::Table(_) => {}
        Relation::Select { input, filter, columns } => {
            columns.retain(|column| wanted.contains(&column.name));
            prune(input, &read_by(columns.iter().map(|column| &column.value), filter.as_ref()));
        }
        Relation::Union(inputs) => inputs.iter_mut().for_each(|input| prune(input, wanted)),
        Relation::Join { left, right, outer: _, condition } => {
            let mut below = read_by([], condition.as_ref());
            below.extend(wanted.iter().cloned());
            prune(left, &below);
            prune(right, &below);
        }
        Relation::Group { input, keys, folds } => {
            folds.retain(|fold| wanted.contains(&fold.name));
            let values = keys.iter().map(|key| &key.value).chain(folds.iter().filter_map(|Folded { fold, .. }| fold.value()));
            prune(input, &read_by(values, folds.iter().filter_map(|fold| fold.condition.as_ref())));
        }
        Relation::Window { input, columns } => {
            columns.retain(|column| wanted.contains(&column.name));
            let mut below = Names::new();
            for Windowed { name: _, function, keys, order } in columns.iter() {
                let (value, condition) = function.parts();
                below.extend(read_by(value.into_iter().chain(keys).chain(order.iter().map(|key| &key.value)), condition));
            }
            below.extend(wanted.iter().filter(|name| columns.iter().all(|column| column.name != **name)).cloned());
            prune(input, &below);
            if columns.is_empty() {
                // Nothing of the window is read: what is left are its rows.
                let rows = std::mem::replace(&mut **input, Relation::Union(Vec::new()));
                *relation = rows;
            }
        }
    }
}
