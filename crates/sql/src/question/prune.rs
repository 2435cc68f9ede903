//! Columns that nothing reads are taken out of a plan's relation: a permit need not name them, and no holder computes them.

use std::collections::BTreeSet;

use commun_domain::plan::PrivatePlan;
use commun_domain::plan::relation::Relation;

type Names = BTreeSet<String>;

pub(super) fn unread_columns(plan: &mut PrivatePlan) {
    let wanted = plan.columns_read().into_iter().map(str::to_owned).collect();
    prune(&mut plan.relation, &wanted);
}

fn prune(relation: &mut Relation, wanted: &Names) {
    match relation {
        Relation::Select { columns, .. } => columns.retain(|column| wanted.contains(&column.name)),
        Relation::Group { folds, .. } => folds.retain(|folded| wanted.contains(&folded.name)),
        Relation::Window { columns, .. } => columns.retain(|column| wanted.contains(&column.name)),
        Relation::Table(_) | Relation::Union(_) | Relation::Join { .. } => {}
    }
    let below: Names = relation.reads(&wanted.iter().map(String::as_str).collect()).into_iter().map(str::to_owned).collect();
    match relation {
        Relation::Table(_) => {}
        Relation::Select { input, .. } | Relation::Group { input, .. } | Relation::Window { input, .. } => prune(input, &below),
        Relation::Union(inputs) => inputs.iter_mut().for_each(|input| prune(input, &below)),
        Relation::Join { left, right, .. } => {
            prune(left, &below);
            prune(right, &below);
        }
    }
    if let Relation::Window { input, columns } = relation
        && columns.is_empty()
    {
        // Nothing of the window is read: what is left are its rows.
        *relation = std::mem::replace(&mut **input, Relation::Union(Vec::new()));
    }
}
