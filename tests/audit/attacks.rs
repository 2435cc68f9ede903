//! Attacks of the literature on SQL and accounting that no other test here carries out as the attacker would. `docs/threat-model.md` lists all.

use commun_domain::Delta;
use commun_domain::ids::{Hash32, QueryId};
use commun_domain::plan::{Aggregate, PrivatePlan};
use commun_domain::units::Rho;
use commun_engine::EngineOptions;
use commun_privacy::ledger::{Caps, Ledger, LedgerRecord, Loss, RecordKind};
use commun_privacy::price;

use crate::dice::Dice;
use crate::distance::within;
use crate::naive::price::{Fraction, loss};
use crate::stack::{Files, Stack};
use crate::table::{AMOUNT, Amount, Format, MONTHS, Row};

const LINF: u32 = 2;

const QUERY: [u8; 32] = [3; 32];

/// Rows of a crowd, and of one person who alone is on a bike in "it's".
fn rows() -> (Vec<Row>, Vec<Row>) {
    let mut dice = Dice::new(6);
    let crowd: Vec<Row> = (0..300)
        .map(|number| Row::random(&mut dice, Some(10 + number / 3), MONTHS[0]))
        .filter(|row| row.area != Some("it's") || row.mode != Some("bike"))
        .collect();
    let target = Row {
        area: Some("it's"),
        mode: Some("bike"),
        amount: Amount::Huge { negative: false },
        ..Row::random(&mut dice, Some(1), MONTHS[0])
    };
    let with = crowd.iter().cloned().chain([target.clone(), target.clone(), target]).collect();
    (with, crowd)
}

/// The plan of a text, and its exact cells with and without the person.
fn asked(stack: &mut Stack, sql: &str) -> (PrivatePlan, [Vec<Vec<i128>>; 2]) {
    let plan = stack.compile(sql, LINF, 1).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"));
    let (with, without) = rows();
    let cells = [with, without].map(|rows| {
        let files = Files::of(&rows, Format::Texts);
        stack.evaluate(&plan, LINF, &QueryId::from_bytes(QUERY), &files, EngineOptions::default()).unwrap().outputs
    });
    (plan, cells)
}

/// Two questions whose difference is one person: exact below the noise, and no more than both prices together once it is added.
#[test]
fn attack_differencing_by_where_shows_one_person_exactly_below_the_noise_and_is_paid_twice() {
    let mut stack = Stack::new();
    let requested = Rho::from_units(1 << 37);
    let (mut lost, mut charged) = (Fraction::whole(0u8), 0);
    let mut differences = Vec::new();
    for rest in ["", " AND NOT (area = 'it''s' AND mode = 'bike')"] {
        let sql = format!("SELECT COUNT(*), SUM(amount) FROM audit.trip WHERE month = '2024-01'{rest}");
        let (plan, [with, without]) = asked(&mut stack, &sql);
        differences.push(with[0][0] - without[0][0]);
        lost = lost.plus(&loss(&price::noise(&plan, requested, 1, 1).unwrap(), &with, &without));
        charged += price::charges(&plan, price::price(&plan, requested).unwrap()).iter().map(|charge| charge.rho.units()).sum::<u64>();
    }
    assert_eq!(differences, [i128::from(LINF), 0], "the attack needs a second question that leaves the person out");
    assert!(lost.at_most(&Fraction::of(charged, 1u64 << 40)), "two answers tell {lost:?}");
    // The unit itself is no condition.
    let refusal = stack.compile("SELECT COUNT(*) FROM audit.trip WHERE month = '2024-01' AND person <> '1'", LINF, 1).unwrap_err();
    assert_eq!(refusal.code, commun_domain::WireCode::NotPrivate);
}

/// Each repetition has noise of its own, so the mean of n answers knows n times as much: it costs n times as much, until the cap.
#[test]
fn attack_averaging_by_repetition_is_paid_each_time_and_ends_at_the_cap() {
    let mut stack = Stack::new();
    let (plan, [with, without]) = asked(&mut stack, "SELECT COUNT(*) FROM audit.trip WHERE month = '2024-01'");
    let requested = Rho::from_units(1 << 34);
    let one = price::price(&plan, requested).unwrap();
    let charges = price::charges(&plan, one);
    let limit = Loss { rho: Rho::from_units(one.rho.units() * 5), delta: Delta::ZERO };
    let caps = Caps { contract: limit, permit: limit };
    let (mut ledger, mut answers, permit) = (Ledger::default(), 0u64, Hash32::default());
    while ledger.check("holder", "audit", plan.partitions[0], permit, one, caps).is_ok() {
        let (seq, previous) = ledger.next("holder");
        let record = LedgerRecord {
            holder: "holder".into(),
            domain: "audit".into(),
            seq,
            previous,
            query_id: QueryId::from_bytes([u8::try_from(answers).unwrap(); 32]),
            attempt: 1,
            kind: RecordKind::Reserve,
            permit,
            charges: charges.clone(),
        };
        ledger.apply(&record).unwrap();
        answers += 1;
    }
    assert_eq!(answers, 5);
    let told = loss(&price::noise(&plan, requested, 1, 1).unwrap(), &with, &without).times(&Fraction::whole(answers));
    assert!(told.at_most(&Fraction::of(limit.rho.units(), 1u64 << 40)), "{answers} answers tell {told:?} within a cap of {limit:?}");
}

/// A subquery calls another expression by the name of a column with narrow bounds (opendp #2949).
#[test]
fn attack_a_redefined_column_keeps_no_old_bound() {
    let mut stack = Stack::new();
    let sql = "SELECT SUM(amount) FROM (SELECT person, month, amount * 100 AS amount FROM audit.trip) AS t WHERE month = '2024-01'";
    let (plan, [with, without]) = asked(&mut stack, sql);
    let Aggregate::Sum { measured, .. } = &plan.outputs[0].aggregate else { panic!("{:?}", plan.outputs) };
    assert_eq!((measured.lo, measured.hi, measured.scale), (AMOUNT.0 * 100, AMOUNT.1 * 100, 2));
    // The person moves the sum by as much as the new bound allows, a hundred times what the old one did.
    assert_eq!(with[0][0] - without[0][0], i128::from(LINF) * i128::from(AMOUNT.1) * 100);
    let parts = within(&plan, Rho::from_units(1 << 36), &with, &without, 1).unwrap();
    assert!(Fraction::whole(1u8).at_most(&parts[0]));
}
