//! The data contract of the audit, rows as a holder has them, and the files that are made of them.
//!
//! A row holds what stands in a source, not what it means: unknown codes, unreadable and extreme numbers, nobody's rows.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_engine::Binding;
use parquet::arrow::ArrowWriter;

use crate::dice::Dice;

/// The partitions that rows can lie in; the contract's calendar has more.
pub(crate) const MONTHS: [&str; 3] = ["2024-01", "2024-02", "2024-03"];

/// Codes with blanks, upper case, letters of several bytes and a quote, and some that are numbers or dates.
pub(crate) const AREAS: [&str; 6] = ["North 1", "north-2", " süd", "it's", "12.5", "2024-02-29"];

pub(crate) const MODES: [&str; 3] = ["car", "bike", "rail"];

/// Of each mode, in the public table `way`.
pub(crate) const KINDS: [&str; 3] = ["road", "road", "track"];

/// Codes of the column that a heavy person has a thousand groups of.
pub(crate) const PLACES: u16 = 1_000;

/// Bounds of `amount` in hundredths, of `whole` and of `small`.
pub(crate) const AMOUNT: (i64, i64) = (-10_000, 25_000);
pub(crate) const WHOLE: (i64, i64) = (-(1 << 40), 1 << 40);
pub(crate) const SMALL: (i64, i64) = (-3, 9);

/// Longest name in `maker`.
pub(crate) const MAX_NAME_BYTES: usize = 10;

/// Bounds of `at`.
pub(crate) const TIMES: (&str, &str) = ("2023-12-20", "2024-12-31 23:59:59");

/// A floating-point number of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    Null,
    NotANumber,
    Infinite {
        negative: bool,
    },
    /// 10^300.
    Huge {
        negative: bool,
    },
    /// Exact in binary, and on the halves of two decimal digits.
    Eighths(i64),
}

/// A time of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Null,
    Unreadable,
    /// Year, month, day, hour, minute, second.
    Clock([i64; 6]),
}

/// A row of a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) person: Option<u32>,
    pub(crate) month: &'static str,
    pub(crate) area: Option<&'static str>,
    /// From [`PLACES`] on it is no code.
    pub(crate) place: Option<u16>,
    pub(crate) mode: Option<&'static str>,
    pub(crate) amount: Amount,
    pub(crate) whole: Option<i64>,
    pub(crate) small: Option<i64>,
    pub(crate) flag: Option<bool>,
    pub(crate) at: At,
}

impl Row {
    pub(crate) fn random(dice: &mut Dice, person: Option<u32>, month: &'static str) -> Self {
        let sign = dice.once_in(2);
        let amount = match dice.below(12) {
            0 => Amount::Null,
            1 => Amount::NotANumber,
            2 => Amount::Infinite { negative: sign },
            3 => Amount::Huge { negative: sign },
            _ => Amount::Eighths(i64::try_from(dice.below(3_000)).unwrap() - 1_000),
        };
        let whole = match dice.below(10) {
            0 => None,
            1 => Some(if sign { i64::MIN } else { i64::MAX }),
            2 => Some(if sign { WHOLE.0 } else { WHOLE.1 }),
            _ => Some(i64::try_from(dice.below(2_001)).unwrap() - 1_000),
        };
        let at = match dice.below(12) {
            0 => At::Null,
            1 => At::Unreadable,
            2 => At::Clock([1999, 1, 1, 0, 0, 0]),
            3 => At::Clock([2024, 2, 29, 23, 59, 59]),
            4 => At::Clock([2024, 12, 31, 12, 30, 0]),
            _ => {
                let mut upto = |sides: usize| i64::try_from(dice.below(sides)).unwrap();
                At::Clock([2024, 1 + upto(3), 1 + upto(28), upto(24), upto(60), upto(60)])
            }
        };
        let area = if dice.once_in(9) { dice.of(&[None, Some("nowhere"), Some("north 1")]) } else { Some(dice.of(&AREAS)) };
        Self {
            person,
            month,
            area,
            place: Some(u16::try_from(dice.below(1_100)).unwrap()),
            mode: if dice.once_in(9) { dice.of(&[None, Some("boat")]) } else { Some(dice.of(&MODES)) },
            amount,
            whole,
            small: if dice.once_in(8) { dice.of(&[None, Some(-50), Some(1_000)]) } else { i64::try_from(dice.below(10)).ok() },
            flag: dice.of(&[None, Some(true), Some(true), Some(false)]),
            at,
        }
    }

    /// Open text: a code and often a digit behind it. Some of these are too long for a name, some begin with a blank or end with something invisible.
    pub(crate) fn maker(&self) -> Option<String> {
        let area = self.area?;
        Some(match self.small {
            Some(digit @ 0..=2) => format!("{area}{digit}"),
            Some(1_000) => format!("{area}\u{200b}"),
            _ => area.to_owned(),
        })
    }

    fn texts(&self) -> [String; 11] {
        let text = |value: Option<&str>| value.unwrap_or("").to_owned();
        let number = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
        [
            self.person.map_or_else(String::new, |person| person.to_string()),
            self.month.to_owned(),
            text(self.area),
            self.place.map_or_else(String::new, |place| format!("p{place:03}")),
            text(self.mode),
            self.amount.text(),
            number(self.whole),
            number(self.small),
            self.flag.map_or_else(String::new, |flag| flag.to_string()),
            self.at.text(),
            self.maker().unwrap_or_default(),
        ]
    }
}

impl Amount {
    fn text(self) -> String {
        let sign = |negative| if negative { "-" } else { "" };
        match self {
            Self::Null => String::new(),
            Self::NotANumber => "NaN".to_owned(),
            Self::Infinite { negative } => format!("{}inf", sign(negative)),
            Self::Huge { negative } => format!("{}1e300", sign(negative)),
            Self::Eighths(eighths) => format!("{}{}.{:03}", sign(eighths < 0), eighths.abs() / 8, eighths.abs() % 8 * 125),
        }
    }

    fn float(self) -> Option<f64> {
        // Its own text is exact.
        (self != Self::Null).then(|| self.text().parse().unwrap())
    }
}

impl At {
    fn text(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Unreadable => "2024-02-30 10:00:00".to_owned(),
            Self::Clock([year, month, day, hour, minute, second]) => {
                format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
            }
        }
    }
}

/// How a holder keeps its rows. None of it may change a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    /// Units are integers.
    Integers,
    /// Units are texts.
    Texts,
    /// Units are integers, said to be sorted, whether they are or not.
    Sorted,
    /// Two files and a UNION ALL.
    Parts,
}

pub(crate) const FORMATS: [Format; 5] = [Format::Csv, Format::Integers, Format::Texts, Format::Sorted, Format::Parts];

const COLUMNS: [&str; 11] = ["person", "month", "area", "place", "mode", "amount", "whole", "small", "flag", "at", "maker"];

impl Format {
    /// Writes the files of rows, and the binding over them.
    pub(crate) fn write(self, rows: &[Row], folder: &Path) -> Binding {
        let parts = match self {
            Self::Parts => vec![&rows[..rows.len() / 3], &rows[rows.len() / 3..]],
            _ => vec![rows],
        };
        let (format, columns) = (if self == Self::Csv { "csv" } else { "parquet" }, COLUMNS.join(", "));
        let (mut binding, mut selects) = ("contract = \"audit\"\n".to_owned(), Vec::new());
        for (number, rows) in parts.into_iter().enumerate() {
            let file = format!("part{number}.{format}");
            if self == Self::Csv {
                write_csv(rows, &folder.join(&file));
            } else {
                write_parquet(self, rows, &folder.join(&file));
            }
            write!(binding, "[[source]]\nname = \"part{number}\"\nformat = \"{format}\"\npath = \"{file}\"\n").unwrap();
            selects.push(format!("SELECT {columns} FROM part{number}"));
        }
        let sorted = self == Self::Sorted;
        write!(binding, "[[table]]\nname = \"trip\"\nsorted_by_unit = {sorted}\nsql = \"{}\"\n", selects.join(" UNION ALL ")).unwrap();
        Binding::parse(&binding).unwrap()
    }
}

fn write_csv(rows: &[Row], path: &Path) {
    let mut writer = csv::Writer::from_path(path).unwrap();
    writer.write_record(COLUMNS).unwrap();
    for row in rows {
        writer.write_record(row.texts()).unwrap();
    }
    writer.flush().unwrap();
}

fn write_parquet(format: Format, rows: &[Row], path: &Path) {
    let text = |of: fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let integer = |of: fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
    let units = match format {
        // A blank id is nobody's, as NULL is.
        Format::Texts => text(|row| Some(row.person.map_or_else(|| " ".to_owned(), |person| person.to_string()))),
        Format::Parts => text(|row| row.person.map(|person| person.to_string())),
        _ => integer(|row| row.person.map(i64::from)),
    };
    let floats: Float64Array = rows.iter().map(|row| row.amount.float()).collect();
    let flags: BooleanArray = rows.iter().map(|row| row.flag).collect();
    let columns: [ArrayRef; 11] = [
        units,
        text(|row| Some(row.month.to_owned())),
        text(|row| row.area.map(str::to_owned)),
        text(|row| row.place.map(|place| format!("p{place:03}"))),
        text(|row| row.mode.map(str::to_owned)),
        Arc::new(floats),
        integer(|row| row.whole),
        integer(|row| row.small),
        Arc::new(flags),
        text(|row| (row.at != At::Null).then(|| row.at.text())),
        text(Row::maker),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(COLUMNS.into_iter().zip(columns).map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The data contract, with so many rows and groups of a person that count.
pub(crate) fn contract(max_rows_per_person: u32, max_groups_per_person: u32) -> DataContract {
    let titles = |name: &str| format!("titles = {{ fr = \"{name}\", nl = \"{name}\", de = \"{name}\", en = \"{name}\" }}");
    let mut text = format!(
        "name = \"audit\"\nversion = 1\nmax_groups_per_person = {max_groups_per_person}\nmax_holders_per_person = 2\n{}\n\
         unit = {{ kind = \"person\", column = \"person\" }}\n\
         partition = {{ column = \"month\", calendar = \"month\", first = \"2024-01\", last = \"2024-06\" }}\n\
         budget = {{ domain = \"audit\", rho_cap = \"9\", delta_conv = \"1e-9\", delta_keys = \"1e-8\" }}\n\
         [[table]]\nname = \"trip\"\nmax_rows_per_person = {max_rows_per_person}\nmax_rows = 100000000\n{}\n",
        titles("Audit"),
        titles("Trip"),
    );
    let bounds = |(lo, hi): (i64, i64), scale| format!("type = \"number\"\nlo = {lo}\nhi = {hi}\nscale = {scale}");
    for (column, of) in [
        ("area", "type = \"code\"\nlist = \"area\"\nversion = \"1\"".to_owned()),
        ("place", "type = \"code\"\nlist = \"place\"\nversion = \"1\"".to_owned()),
        ("mode", "type = \"code\"\nlist = \"mode\"\nversion = \"1\"".to_owned()),
        ("amount", bounds(AMOUNT, 2)),
        ("whole", bounds(WHOLE, 0)),
        ("small", bounds(SMALL, 0)),
        ("flag", "type = \"boolean\"".to_owned()),
        ("maker", format!("type = \"open_text\"\nmax_bytes = {MAX_NAME_BYTES}")),
        ("at", format!("type = \"time\"\nfirst = \"{}\"\nlast = \"{}\"", TIMES.0, TIMES.1)),
    ] {
        write!(text, "[[table.column]]\nname = \"{column}\"\n{of}\n{}\n", titles(column)).unwrap();
    }
    let places: Vec<String> = (0..PLACES).map(|place| format!("p{place:03}")).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let lands: Vec<&str> = (0..places.len()).map(|place| if place % 7 < 3 { "in" } else { "out" }).collect();
    for (table, key, list, attribute, keys, values) in
        [("way", "code", "mode", "kind", &MODES[..], &KINDS[..]), ("zone", "place", "place", "land", &places, &lands)]
    {
        let values: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
        write!(
            text,
            "[[dimension]]\nname = \"{table}\"\nkey = \"{key}\"\nlist = \"{list}\"\nversion = \"1\"\n{}\n[[dimension.attribute]]\n\
             name = \"{attribute}\"\nlist = \"{attribute}\"\nversion = \"1\"\nvalues = {{ {} }}\n{}\n",
            titles(table),
            values.join(", "),
            titles(attribute),
        )
        .unwrap();
    }
    for (list, codes) in
        [("area", &AREAS[..]), ("place", &places), ("mode", &MODES), ("kind", &["road", "track"]), ("land", &["in", "out"])]
    {
        let codes: Vec<String> = codes.iter().map(|code| format!("{{ code = \"{code}\", {} }}", titles("code"))).collect();
        write!(
            text,
            "[[code_list]]\nname = \"{list}\"\nversion = \"1\"\nvalid_from = \"2024-01\"\nvalid_to = \"2024-06\"\ncodes = [{}]\n",
            codes.join(", ")
        )
        .unwrap();
    }
    parse_contract(&text).unwrap()
}
