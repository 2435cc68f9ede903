//! The number of clipped people beside an answer.

use super::*;

const BY_HOME: &str = "SELECT home_arr, COUNT(*) AS n, SUM(km) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr";

fn asked(sql: &str) -> Result<PrivatePlan, Refusal> {
    compile(sql, &contract(), &QuerySettings { clipped: true, ..settings(1) })
}

#[test]
fn clipped_people_take_a_twentieth_and_the_outputs_share_the_rest() {
    let found = asked(BY_HOME).unwrap();
    let shares: Vec<(u32, u32)> = found.outputs.iter().map(|output| (output.share_num, output.share_den)).collect();
    assert_eq!(shares, [(19, 40), (19, 40)]);
    assert_eq!(found.clipped, Some(Clipped { share_num: 1, share_den: 20 }));
    let cells = usize::try_from(found.cells().unwrap()).unwrap();
    assert_eq!((found.lengths().unwrap(), found.vectors()), (vec![cells, cells, 1], 3));
    // The rest of the question is the same.
    let without = plan(BY_HOME);
    assert_eq!((without.clipped, without.counting_clipped(), without.lengths().unwrap()), (None, None, vec![cells, cells]));
    assert_eq!(PrivatePlan { clipped: None, outputs: without.outputs.clone(), ..found.clone() }, without);
    // What is counted reads what the question reads, and nothing else.
    let people = found.counting_clipped().unwrap();
    assert_eq!(people.table_columns(), found.table_columns());
    assert_eq!((people.outputs.len(), people.cells(), people.max_groups_per_person), (1, Some(1), 1));
    assert_eq!(people.counting_clipped(), None);
}

#[test]
fn where_periods_are_apart_clipped_people_are_too() {
    let sql = "SELECT ref_month, COUNT(*) FROM mobility.commute WHERE ref_month IN ('2011-01', '2011-02', '2011-03') GROUP BY ref_month";
    let by_month = asked(sql).unwrap();
    assert_eq!((by_month.lengths().unwrap(), by_month.counting_clipped().unwrap().cells()), (vec![3, 3], Some(3)));
    let together = asked(&sql.replace("ref_month, COUNT(*)", "COUNT(*)").replace(" GROUP BY ref_month", "")).unwrap();
    assert_eq!((together.lengths().unwrap(), together.counting_clipped().unwrap().cells()), (vec![1, 1], Some(1)));
}

#[test]
fn who_cannot_be_clipped_is_not_counted() {
    let says = |sql: &str, says: &str| {
        let refusal = asked(sql).unwrap_err();
        assert!(refusal.code == WireCode::NotPrivate && !refusal.hint.is_empty() && refusal.message.contains(says), "{refusal:?}");
    };
    says("SELECT COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01'", "nobody is clipped");
    says("SELECT employer, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY employer", "open group key");
    // One row a person.
    let once = "(SELECT subscriber_id, ref_month, COUNT(*) AS n FROM mobility.commute GROUP BY subscriber_id, ref_month) AS t";
    says(&format!("SELECT n, COUNT(*) FROM {once} WHERE ref_month = '2011-01' GROUP BY n"), "nobody is clipped");
    says(&format!("SELECT COUNT(*), AVG(n) FROM {once} WHERE ref_month = '2011-01'"), "nobody is clipped");
    asked("SELECT mode, COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode").unwrap();
    asked("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01'").unwrap();
    let many: Vec<String> = (0..64).map(|km| format!("COUNT(*) FILTER (WHERE a.km > {km})")).collect();
    let join = format!(
        "SELECT {} FROM mobility.commute AS a JOIN mobility.commute AS b ON a.subscriber_id = b.subscriber_id AND a.ref_month = b.ref_month \
         WHERE a.ref_month = '2011-01'",
        many.join(", ")
    );
    plan(&join);
    says(&join, "numbers at once");
}
