//! The rows of the test's four holders: generated, always the same, and with everything in them that real files have: NULLs, unknown codes,
//! blanks, unreadable and extreme numbers, people without an id.

/// Type of a source column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
}

/// A value as text; `None` is NULL.
pub(crate) type Value = Option<String>;

/// One source file of a holder.
pub(crate) struct Source {
    /// Its name in `PostgreSQL`, in the schema `source`.
    pub(crate) name: &'static str,
    /// The file; its ending says the format.
    pub(crate) file: &'static str,
    /// CSV only.
    pub(crate) delimiter: u8,
    pub(crate) columns: &'static [(&'static str, Kind)],
    pub(crate) rows: Vec<Vec<Value>>,
}

/// The files of a dataset.
pub(crate) fn sources(dataset: &str) -> Option<Vec<Source>> {
    match dataset {
        "mobility" => Some(vec![subscribers()]),
        "energy" => Some(vec![readings(), customers()]),
        "health" => Some(vec![visits(), stays()]),
        "payments" => Some(vec![transfers(), accounts()]),
        _ => None,
    }
}

/// Numbers that look random and never change: `SplitMix64` (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// One of the texts; an empty one stands for NULL.
    fn of(&mut self, texts: &[&str]) -> Value {
        let index = usize::try_from(self.roll(u64::try_from(texts.len()).unwrap_or(1))).unwrap_or(0);
        texts.get(index).filter(|text| !text.is_empty()).map(|text| (*text).to_owned())
    }
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a value of a row, short to write among those that are NULL")]
fn some(text: impl ToString) -> Value {
    Some(text.to_string())
}

fn subscribers() -> Source {
    let mut dice = Dice(1);
    let mut rows = Vec::new();
    for person in 0..400 {
        for month in 1..=5 {
            if dice.roll(5) == 0 {
                continue;
            }
            let id = if person % 97 == 13 { None } else { some(format!("s{person}")) };
            let day = if dice.roll(40) == 0 { some("17/03/2011") } else { some(format!("2011-{month:02}-{:02}", 1 + dice.roll(28))) };
            let home = dice.of(&["11000", " 21000", "21000", "62000 ", "63000", "99999", ""]);
            let work = dice.of(&["11000", "21000", "21000", "62000", "12", ""]);
            let mode = dice.of(&["Car", "CAR", "car", "TRAIN", "train", "Bike", "boat", ""]);
            let status = dice.of(&["live", "live", "live", "live", "test", ""]);
            rows.push(vec![id, day, home, work, mode, status]);
        }
    }
    let columns = &[
        ("id", Kind::Text),
        ("day", Kind::Text),
        ("home", Kind::Text),
        ("work", Kind::Text),
        ("mode", Kind::Text),
        ("status", Kind::Text),
    ];
    Source { name: "subscribers", file: "subscribers.csv", delimiter: b';', columns, rows }
}

fn customers() -> Source {
    let mut dice = Dice(2);
    let row = |number| {
        vec![some(format!("c{number}")), dice.of(&["BRU", "VLG", "VLG", "WAL", "LUX", ""]), dice.of(&["yes", "no", "no", "maybe", ""])]
    };
    let rows = (0..150).map(row).collect();
    let columns = &[("customer", Kind::Text), ("region", Kind::Text), ("solar", Kind::Text)];
    Source { name: "customers", file: "customers.csv", delimiter: b',', columns, rows }
}

/// Customers 150 to 169 are not in the other file. Eighths of a kWh are exact in binary and lie on the halves of two decimal digits.
fn readings() -> Source {
    let mut dice = Dice(3);
    let mut rows = Vec::new();
    for customer in 0..170 {
        for month in 1..=4 {
            for _ in 0..dice.roll(6) {
                let eighths = dice.roll(5_000);
                let kwh = match dice.roll(60) {
                    0 => None,
                    1 => some("NaN"),
                    2 => some("Infinity"),
                    3 => some("-3.125"),
                    4 => some("1e300"),
                    _ => some(format!("{}.{:03}", eighths / 8, eighths % 8 * 125)),
                };
                let id = if dice.roll(50) == 0 { None } else { some(format!("c{customer}")) };
                let tariff = dice.of(&["day", "day", "night", "peak", ""]);
                rows.push(vec![id, some(format!("2023-{month:02}")), tariff, kwh, dice.of(&["true", "false", ""])]);
            }
        }
    }
    let columns =
        &[("customer", Kind::Text), ("month", Kind::Text), ("tariff", Kind::Text), ("kwh", Kind::Float), ("smart", Kind::Boolean)];
    Source { name: "readings", file: "readings.parquet", delimiter: b',', columns, rows }
}

fn visits() -> Source {
    let mut dice = Dice(4);
    let mut rows = Vec::new();
    for person in 0..250 {
        for year in 2019..=2023 {
            for _ in 0..dice.roll(4) {
                let cost = if dice.roll(8) == 0 { None } else { some(format!("{}.{:02}", dice.roll(1_200), dice.roll(100))) };
                let insured = if dice.roll(60) == 0 { None } else { some(format!("h{person}")) };
                let year = if dice.roll(80) == 0 { some("20x3") } else { some(year) };
                let province = dice.of(&["LG", "HT", "HT", "NA", "XX", ""]);
                rows.push(vec![
                    insured,
                    year,
                    province,
                    dice.of(&["gp", "gp", "dentist", "vet", ""]),
                    cost,
                    dice.of(&["true", "false", "false", ""]),
                ]);
            }
        }
    }
    let columns = &[
        ("insured", Kind::Text),
        ("year", Kind::Text),
        ("province", Kind::Text),
        ("kind", Kind::Text),
        ("cost", Kind::Text),
        ("chronic", Kind::Text),
    ];
    Source { name: "visits", file: "visits.csv", delimiter: b',', columns, rows }
}

fn stays() -> Source {
    let mut dice = Dice(5);
    let mut rows = Vec::new();
    for person in 0..250 {
        for year in 2019..=2023 {
            if dice.roll(3) == 0 {
                let days = dice.of(&["1", "2", "3", "5", "40", "some", ""]);
                let admitted = some(format!("{year}-{:02}-11", 1 + dice.roll(12)));
                rows.push(vec![some(format!("h{person}")), admitted, dice.of(&["LG", "HT", "NA", ""]), days]);
            }
        }
    }
    let columns = &[("ssn", Kind::Text), ("admitted", Kind::Text), ("province", Kind::Text), ("days", Kind::Text)];
    Source { name: "stays", file: "stays.csv", delimiter: b',', columns, rows }
}

fn transfers() -> Source {
    let (mut dice, mut clock) = (Dice(6), Dice(7));
    let mut rows = Vec::new();
    for holder in 0..200 {
        for month in 1..=3 {
            for _ in 0..dice.roll(9) {
                let amount = match dice.roll(30) {
                    0 => None,
                    1 => some("1e12"),
                    2 => some("-99999999999999999999999"),
                    3 => some("refused"),
                    4 => some("+12.345"),
                    5 => some("-0.005"),
                    _ => some(format!("{}{}.{:02}", if dice.roll(2) == 0 { "-" } else { "" }, dice.roll(2_000), dice.roll(100))),
                };
                let balance = match dice.roll(20) {
                    0 => None,
                    1 => some(i64::MIN),
                    2 => some(i64::MAX),
                    _ => some(i128::from(dice.roll(2_000_000)) - 1_000_000),
                };
                let fee = if dice.roll(6) == 0 { None } else { some(format!("-0.{:03}", dice.roll(600))) };
                let channel = dice.of(&["card", "card", "wire", "cash", "app's", "fax", ""]);
                rows.push(vec![
                    some(holder),
                    some(format!("2024-{month:02}")),
                    channel,
                    amount,
                    balance,
                    fee,
                    dice.of(&["0", "0", "1", "-7", ""]),
                    booked(&mut clock),
                ]);
            }
        }
    }
    let columns = &[
        ("holder", Kind::Integer),
        ("month", Kind::Text),
        ("channel", Kind::Text),
        ("amount", Kind::Text),
        ("balance", Kind::Integer),
        ("fee", Kind::Text),
        ("flagged", Kind::Integer),
        ("booked", Kind::Text),
    ];
    Source { name: "transfers", file: "transfers.parquet", delimiter: b',', columns, rows }
}

/// None, one or two accounts of some of those who transfer, and of some who do not.
fn accounts() -> Source {
    let mut dice = Dice(8);
    let mut rows = Vec::new();
    for holder in 40..260 {
        for month in 1..=3 {
            for _ in 0..dice.roll(3) {
                let credit = match dice.roll(12) {
                    0 => None,
                    1 => some("none"),
                    2 => some("99999.95"),
                    _ => some(format!("{}.{}", dice.roll(900), dice.roll(10))),
                };
                rows.push(vec![
                    some(holder),
                    some(format!("2024-{month:02}")),
                    dice.of(&["shop", "home", "home", "farm", "bank", ""]),
                    credit,
                    dice.of(&["true", "false", "false", ""]),
                ]);
            }
        }
    }
    let columns =
        &[("holder", Kind::Integer), ("month", Kind::Text), ("segment", Kind::Text), ("credit", Kind::Text), ("joint", Kind::Text)];
    Source { name: "accounts", file: "accounts.parquet", delimiter: b',', columns, rows }
}

/// A time in the weeks before, in or after the first half of 2024, on both sides of what the data contract declares; or what is no time.
fn booked(clock: &mut Dice) -> Value {
    let (hour, minute, second) = (clock.roll(24), clock.roll(60), clock.roll(60));
    let month = 1 + clock.roll(3);
    let day = 1 + clock.roll(if month == 2 { 29 } else { 31 });
    match clock.roll(24) {
        0 => None,
        1 => some("2024-02-30 10:00:00"),
        2 => some("tomorrow"),
        3 => some(format!("2023-12-{day:02} {hour:02}:{minute:02}:{second:02}")),
        4 => some(format!("2024-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.999")),
        5 => some("2024-02-29 23:59:59"),
        6 => some("2024-12-30 00:00:00"),
        7 => some("2025-01-01 00:00:00"),
        8 => some("0001-01-01 00:00:00"),
        9 => some("2024-01-01"),
        _ => some(format!("2024-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")),
    }
}
