//! One person with a million rows, a thousand groups and every extreme that a source can hold, beside a few others.
//! `COMMUN_AUDIT_HEAVY_ROWS` makes it another number.

use commun_domain::ids::QueryId;
use commun_domain::units::Rho;
use commun_engine::EngineOptions;

use crate::dice::Dice;
use crate::distance::within;
use crate::fuzz::setting;
use crate::naive;
use crate::stack::{Files, Stack};
use crate::table::{Amount, Format, MONTHS, Row};

/// What a heavy person is made of: extremes of every column, a thousand groups.
fn rows(count: usize) -> Vec<Row> {
    let mut dice = Dice::new(1);
    let kinds: Vec<Row> = (0..10_007).map(|_| Row::random(&mut dice, Some(0), MONTHS[0])).collect();
    let row = |number: usize| {
        let kind = &kinds[number % kinds.len()];
        let place = u16::try_from(number % 1_000).unwrap();
        // Mostly at one end of the ranges, so that sums grow as far as they can.
        let amount = if number.is_multiple_of(16) { kind.amount } else { Amount::Infinite { negative: false } };
        let amount = if number.is_multiple_of(3) { Amount::Huge { negative: false } } else { amount };
        let whole = if number % 16 == 1 { kind.whole } else { Some(i64::MAX) };
        let month = MONTHS[usize::from(number.is_multiple_of(4))];
        Row { place: Some(place), month, amount, whole, ..kind.clone() }
    };
    (0..count).map(row).collect()
}

/// Questions in which the extremes meet every kind of output, with Linf and L0.
///
/// The third has squares as wide as its price allows: those of three quarters of a million rows do not fit 63 bits.
const QUESTIONS: &[(&str, u32, u32)] = &[
    ("SELECT place, COUNT(*), SUM(whole), COUNT(DISTINCT person) FROM audit.trip WHERE month = '2024-01' GROUP BY place", 3, 4),
    ("SELECT month, AVG(amount), STDDEV(small), SUM(amount) FROM audit.trip WHERE month IN ('2024-01', '2024-02') GROUP BY month", 2, 1),
    ("SELECT VAR_POP(LEAST(GREATEST(whole, -2000000), 2000000)), SUM(whole) FROM audit.trip WHERE month IN ('2024-01', '2024-02')", 1, 1),
    ("SELECT mode, MEDIAN(amount), COUNT(amount) FROM audit.trip WHERE month = '2024-02' AND flag IS NOT FALSE GROUP BY mode", 2, 2),
];

#[test]
fn a_person_with_a_million_rows_and_a_thousand_groups_moves_no_more_than_another() {
    let count = usize::try_from(setting("COMMUN_AUDIT_HEAVY_ROWS", || 1_000_000)).unwrap();
    let (mut stack, mut dice) = (Stack::new(), Dice::new(2));
    let other = |number: u32| Row::random(&mut dice, (number > 5).then_some(5 + number / 20), MONTHS[number as usize % 3]);
    let others: Vec<Row> = (0..400).map(other).collect();
    let all: Vec<Row> = rows(count).into_iter().chain(others.iter().cloned()).collect();
    let fewer: Vec<Row> = all.iter().filter(|row| row.person != Some(0) || row.month != MONTHS[0]).cloned().collect();
    let [with, without, none] = [&all, &fewer, &others].map(|rows| Files::of(rows, Format::Integers));
    let requested = Rho::from_units(1 << 36);
    for (number, (sql, linf, l0)) in QUESTIONS.iter().enumerate() {
        let plan = stack.compile(sql, *linf, *l0).unwrap();
        let query = QueryId::from_bytes([u8::try_from(number).unwrap(); 32]);
        let mut evaluate = |files: &Files| stack.evaluate(&plan, *linf, &query, files, EngineOptions::default()).unwrap().outputs;
        let [all_cells, fewer_cells, other_cells] = [&with, &without, &none].map(&mut evaluate);
        let judged = naive::judge(&plan, &query, &all);
        assert!(judged.outputs == all_cells && judged.rows_cut, "{sql}");
        assert!(judged.groups_cut || !sql.contains("place"), "{sql}");
        assert!(naive::judge(&plan, &query, &others).outputs == other_cells, "{sql}");
        let partitions = plan.partitions.len();
        let times = if plan.partition_is_key() { partitions } else { partitions.pow(2) };
        let moved = [within(&plan, requested, &all_cells, &fewer_cells, 1), within(&plan, requested, &all_cells, &other_cells, times)];
        for moved in moved {
            moved.unwrap_or_else(|fault| panic!("{fault}\n{sql}"));
        }
    }
}
