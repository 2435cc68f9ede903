#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn bounds(max_groups: usize) -> Bounds {
    Bounds {
        query_id: QueryId::from_bytes([7; 32]),
        partitions: vec![Period(1), Period(2)],
        max_groups,
        cells: 8,
        sums: 1,
        outputs: vec![Contribution::count(3), Contribution::count(1), Contribution::sum(0, -5, 10, 3)],
    }
}

/// Rows of (unit, partition, cell, value), all with one hash: only the full unit may tell persons apart.
fn totals(bounds: &Bounds, rows: &[(&str, u32, u32, i64)]) -> Vec<Vec<i128>> {
    let mut bucket = Bucket::new(1);
    for (unit, partition, cell, value) in rows {
        bucket.push(42, unit, *partition, *cell, &[*value]);
    }
    let mut totals = Totals::zero(bounds);
    bounds.aggregate(&bucket, &mut totals);
    totals.outputs
}

#[test]
fn persons_whose_hashes_collide_stay_apart() {
    let rows = [("a", 0, 1, 1), ("b", 0, 1, 1), ("a", 1, 1, 1), ("a", 0, 1, 1), ("b", 0, 1, 1)];
    let outputs = totals(&bounds(1), &rows);
    assert_eq!((outputs[0][1], outputs[1][1], outputs[2][1]), (5, 3, 5));
}

#[test]
fn one_person_counts_at_most_linf_rows_and_a_clamped_sum() {
    let rows: Vec<_> = (0..1000).map(|_| ("heavy", 0, 2, 10)).collect();
    let outputs = totals(&bounds(1), &rows);
    assert_eq!((outputs[0][2], outputs[1][2], outputs[2][2]), (3, 1, 30));
    let rows: Vec<_> = (0..1000).map(|_| ("heavy", 0, 2, -5)).collect();
    assert_eq!(totals(&bounds(1), &rows)[2][2], -15);
}

#[test]
fn a_person_keeps_l0_groups_in_each_partition() {
    let rows: Vec<_> = (0..2).flat_map(|partition| (0..8).map(move |cell| ("p", partition, cell, 1))).collect();
    for max_groups in [1, 3, 8, 100] {
        let outputs = totals(&bounds(max_groups), &rows);
        assert_eq!(outputs[1].iter().sum::<i128>(), 2 * i128::try_from(max_groups.min(8)).unwrap());
    }
}

#[test]
fn which_groups_are_kept_changes_with_query_person_and_partition_but_not_with_order() {
    let cells: Vec<_> = (0..8).map(|cell| ("p", 0, cell, 1)).collect();
    let backwards: Vec<_> = cells.iter().rev().copied().collect();
    let here = totals(&bounds(4), &cells);
    assert_eq!(here, totals(&bounds(4), &backwards));
    let other_query = Bounds { query_id: QueryId::from_bytes([8; 32]), ..bounds(4) };
    assert_ne!(here, totals(&other_query, &cells));
    assert_ne!(here, totals(&bounds(4), &cells.iter().map(|(_, p, c, v)| ("q", *p, *c, *v)).collect::<Vec<_>>()));
    assert_ne!(here, totals(&bounds(4), &cells.iter().map(|(u, _, c, v)| (*u, 1, *c, *v)).collect::<Vec<_>>()));
}

#[test]
fn extreme_sums_do_not_wrap() {
    let bounds = Bounds { outputs: vec![Contribution::sum(0, i64::MIN, i64::MAX, u32::MAX)], ..bounds(1) };
    let rows: Vec<_> = (0..100).map(|_| ("p", 0, 0, i64::MIN)).collect();
    assert_eq!(totals(&bounds, &rows)[0][0], 100 * i128::from(i64::MIN));
}
