//! The Gregorian calendar by counting days one after the other, for the years that the audit's rows lie in.

use commun_domain::plan::time::{Field, Truncation};

const DAY: i64 = 86_400;

/// A year before every time of the audit; its first day is so many days after 1970 and a Friday.
const FIRST_YEAR: i64 = 1999;
const FIRST_DAY: i64 = 10_592;

fn days_of_year(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 => days_of_year(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date.
fn day(year: i64, month: i64, of_month: i64) -> i64 {
    assert!(year >= FIRST_YEAR, "the model does not know the year {year}");
    FIRST_DAY
        + (FIRST_YEAR..year).map(days_of_year).sum::<i64>()
        + (1..month).map(|month| days_of_month(year, month)).sum::<i64>()
        + of_month
        - 1
}

/// Year, month and day of a number of days.
fn date(days: i64) -> (i64, i64, i64) {
    let (mut year, mut month) = (FIRST_YEAR, 1);
    while day(year + 1, 1, 1) <= days {
        year += 1;
    }
    while month < 12 && day(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - day(year, month, 1) + 1)
}

pub(super) fn seconds([year, month, of_month, hour, minute, second]: [i64; 6]) -> i64 {
    day(year, month, of_month) * DAY + hour * 3_600 + minute * 60 + second
}

/// `2024-01-31` or `2024-01-31 23:59:59`.
pub(super) fn read(text: &str) -> i64 {
    let mut numbers = text.split(['-', ' ', ':']).map(|number| number.parse().unwrap());
    seconds(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
}

/// 0 is Monday: 1999-01-01 was a Friday.
fn weekday(days: i64) -> i64 {
    (days - FIRST_DAY + 4) % 7
}

pub(super) fn field(of: Field, at: i64) -> i64 {
    let (days, second) = (at / DAY, at % DAY);
    let (year, month, of_month) = date(days);
    match of {
        Field::Year => year,
        Field::Quarter => (month + 2) / 3,
        Field::Month => month,
        // ISO 8601: the week belongs to the year of its Thursday, and the year's first week holds its first Thursday.
        Field::Week => {
            let thursday = days - weekday(days) + 3;
            (thursday - day(date(thursday).0, 1, 1)) / 7 + 1
        }
        Field::Day => of_month,
        Field::DayOfWeek => (weekday(days) + 1) % 7,
        Field::IsoDayOfWeek => weekday(days) + 1,
        Field::DayOfYear => days - day(year, 1, 1) + 1,
        Field::Hour => second / 3_600,
        Field::Minute => second / 60 % 60,
        Field::Second => second % 60,
    }
}

/// The beginning of the period that a time lies in.
pub(super) fn truncate(to: Truncation, at: i64) -> i64 {
    let days = at / DAY;
    let (year, month, _) = date(days);
    match to {
        Truncation::Year => day(year, 1, 1) * DAY,
        Truncation::Quarter => day(year, month - (month + 2) % 3, 1) * DAY,
        Truncation::Month => day(year, month, 1) * DAY,
        Truncation::Week => (days - weekday(days)) * DAY,
        Truncation::Day => days * DAY,
        Truncation::Hour => at - at % 3_600,
        Truncation::Minute => at - at % 60,
    }
}

#[test]
fn known_days_are_where_they_belong() {
    // From PostgreSQL's extract(): epoch, week, isodow, doy, quarter.
    for (text, epoch, expected) in [
        ("2024-02-29 23:59:59", 1_709_251_199, [9, 4, 60, 1]),
        ("2024-12-30 00:00:00", 1_735_516_800, [1, 1, 365, 4]),
        ("2023-12-31 12:00:00", 1_704_024_000, [52, 7, 365, 4]),
        ("2024-07-01 00:00:00", 1_719_792_000, [27, 1, 183, 3]),
    ] {
        let at = read(text);
        let found = [Field::Week, Field::IsoDayOfWeek, Field::DayOfYear, Field::Quarter].map(|of| field(of, at));
        assert_eq!((at, found), (epoch, expected), "{text}");
    }
    assert_eq!(truncate(Truncation::Quarter, read("2024-06-30 10:00:00")), read("2024-04-01"));
    assert_eq!(truncate(Truncation::Week, read("2024-03-03")), read("2024-02-26"));
}
