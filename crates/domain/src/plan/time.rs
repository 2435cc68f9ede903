//! Times as seconds since 1970 on the holder's wall clock: no zones, no leap seconds, the Gregorian calendar in both directions.
//!
//! Every function is total: any 64-bit number of seconds has a date. Days are counted by Howard Hinnant's `civil_from_days`
//! (<https://howardhinnant.github.io/date_algorithms.html>).

use crate::canonical_enum;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// Least and greatest time that a data contract may declare: the years 1 to 9999.
pub const TIME_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A field of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Year.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// Week of ISO 8601, 1 to 53.
    Week,
    /// Day of the month, 1 to 31.
    Day,
    /// 0 (Sunday) to 6.
    DayOfWeek,
    /// 1 (Monday) to 7.
    IsoDayOfWeek,
    /// 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 to 59.
    Second,
}
canonical_enum!(Field {
    Year = 1,
    Quarter = 2,
    Month = 3,
    Week = 4,
    Day = 5,
    DayOfWeek = 6,
    IsoDayOfWeek = 7,
    DayOfYear = 8,
    Hour = 9,
    Minute = 10,
    Second = 11,
});

/// A period that a time is cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truncation {
    /// 1 January.
    Year,
    /// First day of a quarter.
    Quarter,
    /// First day of a month.
    Month,
    /// Monday.
    Week,
    /// Midnight.
    Day,
    /// Full hour.
    Hour,
    /// Full minute.
    Minute,
}
canonical_enum!(Truncation { Year = 1, Quarter = 2, Month = 3, Week = 4, Day = 5, Hour = 6, Minute = 7 });

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year; 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

impl Date {
    /// The day that a number of days since 1970-01-01 is.
    pub fn of_day(days: i64) -> Self {
        // A 64-bit number of seconds has at most 47 bits of days; more would overflow below.
        let shifted = days.clamp(-(1 << 50), 1 << 50) + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// Days since 1970-01-01.
    pub fn to_day(self) -> i64 {
        let year = self.year.clamp(-(1 << 40), 1 << 40) - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
    }
}

/// Monday is 0.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

impl Field {
    /// The field of a time.
    pub fn of(self, seconds: i64) -> i64 {
        let (day, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        let date = Date::of_day(day);
        match self {
            Self::Year => date.year,
            Self::Quarter => (date.month - 1) / 3 + 1,
            Self::Month => date.month,
            Self::Week => {
                // The week of the year that its Thursday lies in.
                let thursday = day - weekday(day) + 3;
                let first = Date { year: Date::of_day(thursday).year, month: 1, day: 1 }.to_day();
                (thursday - first) / 7 + 1
            }
            Self::Day => date.day,
            Self::DayOfWeek => (weekday(day) + 1) % 7,
            Self::IsoDayOfWeek => weekday(day) + 1,
            Self::DayOfYear => day - Date { month: 1, day: 1, ..date }.to_day() + 1,
            Self::Hour => second / 3_600,
            Self::Minute => second / 60 % 60,
            Self::Second => second % 60,
        }
    }

    /// Every value that the field of a time within bounds can have, as a range that holds them.
    pub fn range(self, lo: i64, hi: i64) -> (i64, i64) {
        match self {
            Self::Year => (self.of(lo), self.of(hi)),
            Self::Quarter => (1, 4),
            Self::Month => (1, 12),
            Self::Week => (1, 53),
            Self::Day => (1, 31),
            Self::DayOfWeek => (0, 6),
            Self::IsoDayOfWeek => (1, 7),
            Self::DayOfYear => (1, 366),
            Self::Hour => (0, 23),
            Self::Minute | Self::Second => (0, 59),
        }
    }
}

impl Truncation {
    /// The beginning of the period that a time lies in.
    pub fn of(self, seconds: i64) -> i64 {
        let day = seconds.div_euclid(DAY_S);
        let date = Date::of_day(day);
        let start = match self {
            Self::Hour => return seconds.saturating_sub(seconds.rem_euclid(3_600)),
            Self::Minute => return seconds.saturating_sub(seconds.rem_euclid(60)),
            Self::Day => day,
            Self::Week => day - weekday(day),
            Self::Month => Date { day: 1, ..date }.to_day(),
            Self::Quarter => Date { month: (date.month - 1) / 3 * 3 + 1, day: 1, ..date }.to_day(),
            Self::Year => Date { month: 1, day: 1, ..date }.to_day(),
        };
        start.saturating_mul(DAY_S)
    }

    /// The beginning of the period after the one that begins at `start`.
    pub fn next(self, start: i64) -> i64 {
        let day = start.div_euclid(DAY_S);
        let Date { year, month, .. } = Date::of_day(day);
        let after = |months: i64| {
            let months = year.saturating_mul(12) + month - 1 + months;
            Date { year: months.div_euclid(12), month: months.rem_euclid(12) + 1, day: 1 }.to_day()
        };
        let next = match self {
            Self::Hour => return start.saturating_add(3_600),
            Self::Minute => return start.saturating_add(60),
            Self::Day => day + 1,
            Self::Week => day + 7,
            Self::Month => after(1),
            Self::Quarter => after(3),
            Self::Year => after(12),
        };
        next.saturating_mul(DAY_S)
    }
}

/// Reads `2011-01-31`, `2011-01-31 13:05`, `2011-01-31 13:05:59` or the same with `T` and with a fraction of a second, which is cut off.
/// `None` for anything else: other orders, zones, days that do not exist, years outside 1 to 9999.
pub fn parse(text: &str) -> Option<i64> {
    // UTC is the one zone that may be written, and only after a clock.
    let bytes = text.strip_suffix(['Z', 'z']).filter(|rest| rest.len() > 10).unwrap_or(text).as_bytes();
    let (date, clock) = match bytes {
        date if date.len() == 10 => (date, None),
        _ if bytes.len() > 10 && matches!(bytes[10], b' ' | b'T' | b't') => (&bytes[..10], Some(&bytes[11..])),
        _ => return None,
    };
    let number = |digits: &[u8]| -> Option<i64> {
        digits.iter().try_fold(0i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let date = Date { year, month, day };
    if !(1..=12).contains(&month) || day < 1 || year < 1 || Date::of_day(date.to_day()) != date {
        return None;
    }
    let second = match clock {
        None => 0,
        Some(clock) => {
            let (whole, fraction) = match clock.iter().position(|byte| *byte == b'.') {
                Some(point) if clock.len() - point <= 10 => (&clock[..point], &clock[point + 1..]),
                Some(_) => return None,
                None => (clock, &b"0"[..]),
            };
            number(fraction).filter(|_| !fraction.is_empty())?;
            let (hour, minute, second) = match *whole {
                [h1, h2, b':', m1, m2] if clock.len() == 5 => (number(&[h1, h2])?, number(&[m1, m2])?, 0),
                [h1, h2, b':', m1, m2, b':', s1, s2] => (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?),
                _ => return None,
            };
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3_600 + minute * 60 + second
        }
    };
    Some(date.to_day() * DAY_S + second)
}

/// Writes a time as [`parse`] reads it: the date alone at midnight when `dates_only`, else date and clock.
pub fn format(seconds: i64, dates_only: bool) -> String {
    let (day, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let Date { year, month, day } = Date::of_day(day);
    if dates_only {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days_have_their_fields() {
        // From PostgreSQL's extract(): dates around new year, where ISO weeks and years part.
        for (text, [quarter, month, week, day, dow, isodow, doy]) in [
            ("2011-01-01", [1, 1, 52, 1, 6, 6, 1]),
            ("2012-12-31", [4, 12, 1, 31, 1, 1, 366]),
            ("2016-02-29", [1, 2, 9, 29, 1, 1, 60]),
            ("2020-12-31", [4, 12, 53, 31, 4, 4, 366]),
            ("1969-07-20", [3, 7, 29, 20, 0, 7, 201]),
        ] {
            let seconds = parse(text);
            let fields = [Field::Quarter, Field::Month, Field::Week, Field::Day, Field::DayOfWeek, Field::IsoDayOfWeek, Field::DayOfYear];
            let found = seconds.map(|seconds| fields.map(|field| field.of(seconds)));
            assert_eq!(found, Some([quarter, month, week, day, dow, isodow, doy]), "{text}");
        }
    }

    #[test]
    fn only_real_times_in_one_form_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01 00:01", 60),
            ("1970-01-02T03:04:05", DAY_S + 11_045),
            ("1969-12-31 23:59:59.999", -1),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "1970-1-1",
            "2011-02-29",
            "2011-13-01",
            "2011-00-10",
            "0000-01-01",
            "01-02-2011",
            "2011-01-01 24:00",
            "2011-01-01 1:00",
            "2011-01-01 10:00:00+01:00",
            "2011-01-01Z",
            "2011-01-01 ",
            "2011-01-01 10:00.5",
            "2011-01-01 10:00:00.",
            "2011-01-01x10:00",
            "２011-01-01",
            "2011-01-01 10:00:00.1234567890",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_one_to_one(day in -800_000i64..3_000_000) {
            let date = Date::of_day(day);
            prop_assert_eq!(date.to_day(), day);
            prop_assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }

        #[test]
        fn what_is_written_is_read_back(seconds in TIME_RANGE) {
            prop_assert_eq!(parse(&format(seconds, false)), Some(seconds));
            prop_assert_eq!(parse(&format(seconds, true)), Some(Truncation::Day.of(seconds)));
        }

        #[test]
        fn periods_hold_their_times_and_follow_each_other(seconds in TIME_RANGE) {
            for period in [
                Truncation::Year, Truncation::Quarter, Truncation::Month, Truncation::Week, Truncation::Day, Truncation::Hour,
                Truncation::Minute,
            ] {
                let (start, next) = (period.of(seconds), period.next(period.of(seconds)));
                prop_assert!(start <= seconds && seconds < next);
                prop_assert_eq!(period.of(start), start);
                prop_assert_eq!(period.of(next), next);
                prop_assert_eq!(period.of(next - 1), start);
            }
        }

        #[test]
        fn no_number_of_seconds_panics(seconds in any::<i64>()) {
            for field in [Field::Year, Field::Week, Field::Day, Field::DayOfYear, Field::Second] {
                let _ = field.of(seconds);
            }
            for period in [Truncation::Year, Truncation::Quarter, Truncation::Week, Truncation::Hour] {
                let _ = period.next(period.of(seconds));
            }
            let _ = format(seconds, false);
        }
    }
}
