//! Scalar functions: one table says which are read, with how many arguments; the reference page is checked against it.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{Condition, Rounding, Value};
use sqlparser::ast::{BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments};

use super::{arithmetic, text, times};
use crate::question::literal::{Written, fixed_point, written};
use crate::question::scope::Scope;
use crate::question::types::{Type, Typed, unify};
use crate::refuse::{invalid, not_private, place_of, place_of_name};

/// Most classes of `WIDTH_BUCKET`.
pub const MAX_BUCKETS: i64 = 10_000;

/// Every scalar function that is read: name, fewest and most arguments.
pub const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("abs", 1, 1),
    ("ceil", 1, 1),
    ("ceiling", 1, 1),
    ("char_length", 1, 1),
    ("character_length", 1, 1),
    ("coalesce", 1, 64),
    ("concat", 1, 64),
    ("date_part", 2, 2),
    ("date_trunc", 2, 2),
    ("floor", 1, 1),
    ("greatest", 1, 64),
    ("least", 1, 64),
    ("left", 2, 2),
    ("length", 1, 1),
    ("lower", 1, 1),
    ("mod", 2, 2),
    ("nullif", 2, 2),
    ("replace", 3, 3),
    ("right", 2, 2),
    ("round", 1, 2),
    ("sign", 1, 1),
    ("substr", 2, 3),
    ("substring", 2, 3),
    ("trim", 1, 1),
    ("trunc", 1, 2),
    ("upper", 1, 1),
    ("width_bucket", 4, 4),
];

/// The name of a function in lower case, if it is plain.
pub(crate) fn called(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().filter(|ident| ident.quote_style.is_none()).map(|ident| ident.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// The arguments of a plain call without clauses.
pub(crate) fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let Function { name: _, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
    let plain = !uses_odbc_syntax
        && matches!(parameters, FunctionArguments::None)
        && filter.is_none()
        && null_treatment.is_none()
        && over.is_none()
        && within_group.is_empty();
    match args {
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }) if plain && clauses.is_empty() => {
            args.iter().map(|arg| if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg { Some(expr) } else { None }).collect()
        }
        _ => None,
    }
}

impl Scope<'_> {
    pub(super) fn function(&self, function: &Function, depth: usize, at: Option<Position>) -> Result<Typed, Refusal> {
        let at = place_of_name(&function.name).or(at);
        if function.over.is_some() {
            let hint = "write it as a column of a subquery, with PARTITION BY the unit and the partition";
            return Err(not_private(at, "a window is not read here", hint));
        }
        let name = called(function).unwrap_or_default();
        let Some((_, fewest, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            return Err(unknown(&name, at));
        };
        let Some(args) = arguments(function) else {
            return Err(not_private(at, format!("this form of {name} is not read"), "write its arguments alone"));
        };
        if !(*fewest..=*most).contains(&args.len()) {
            let hint = if fewest == most { format!("write {fewest}") } else { format!("write {fewest} to {most}") };
            return Err(invalid(at, format!("{name} does not take {} argument(s)", args.len()), hint));
        }
        let typed = |index: usize| self.typed(args[index], depth + 1);
        match name.as_str() {
            "abs" => absolute(typed(0)?, at),
            "sign" => sign(typed(0)?, at),
            "ceil" | "ceiling" => typed(0)?.rounded_to_integer(Rounding::Ceil, at),
            "floor" => typed(0)?.rounded_to_integer(Rounding::Floor, at),
            "round" => typed(0)?.rounded(digits(args.get(1).copied())?, Rounding::HalfAway, at),
            "trunc" => typed(0)?.rounded(digits(args.get(1).copied())?, Rounding::Truncate, at),
            "mod" => arithmetic::binary(typed(0)?, &BinaryOperator::Modulo, typed(1)?, at),
            "least" | "greatest" => self.extreme(&args, name == "least", depth, at),
            "coalesce" => {
                let parts = args.iter().map(|arg| self.label(arg, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                let (values, of) = unify(parts, at)?;
                Ok(Typed { value: Value::Coalesce(values), of })
            }
            "nullif" => self.null_if(args[0], args[1], depth, at),
            "width_bucket" => self.width_bucket(&args, depth, at),
            "date_part" => times::extract(text::plain(args[0])?, typed(1)?, at),
            "date_trunc" => times::truncate(text::plain(args[0])?, typed(1)?, at),
            "lower" => text::map(&typed(0)?, at, |text| Some(text.to_lowercase())),
            "upper" => text::map(&typed(0)?, at, |text| Some(text.to_uppercase())),
            "trim" => text::trim(&typed(0)?, None, at),
            "length" | "char_length" | "character_length" => text::char_length(&typed(0)?, at),
            "left" => {
                let taken = text::length(args[1])?;
                text::map(&typed(0)?, at, |text| Some(text.chars().take(taken).collect()))
            }
            "right" => {
                let taken = text::length(args[1])?;
                text::map(&typed(0)?, at, |text| Some(text.chars().skip(text.chars().count().saturating_sub(taken)).collect()))
            }
            "substr" | "substring" => {
                let length = args.get(2).map(|length| text::length(length)).transpose()?;
                text::substring(&typed(0)?, text::position(args[1])?, length, at)
            }
            "replace" => {
                let (from, to) = (text::plain(args[1])?, text::plain(args[2])?);
                text::map(&typed(0)?, at, |text| Some(if from.is_empty() { text.to_owned() } else { text.replace(from, to) }))
            }
            // Unlike ||, it passes over NULL.
            _ => {
                let parts = args.iter().map(|arg| text::or_empty(self.typed(arg, depth + 1)?, at)).collect::<Result<_, _>>()?;
                text::concat(parts, at)
            }
        }
    }

    fn extreme(&self, args: &[&Expr], least: bool, depth: usize, at: Option<Position>) -> Result<Typed, Refusal> {
        let parts = args.iter().map(|arg| self.typed(arg, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        // A constant bounds the result; an operand that may be NULL does not, because it is then passed over.
        let bound = |part: &Typed| part.as_constant().filter(|_| matches!(part.of, Type::Number { .. }));
        let has_constant = parts.iter().any(|part| bound(part).is_some());
        let (values, of) = unify(parts, at)?;
        let of = match of {
            Type::Number { lo, hi, scale } if has_constant => {
                let constants: Vec<i64> =
                    values.iter().filter_map(|value| if let Value::Constant(units) = value { Some(*units) } else { None }).collect();
                match (least, constants.iter().min(), constants.iter().max()) {
                    (true, Some(bound), _) => Type::Number { lo, hi: hi.min(*bound), scale },
                    (false, _, Some(bound)) => Type::Number { lo: lo.max(*bound), hi, scale },
                    _ => Type::Number { lo, hi, scale },
                }
            }
            of @ (Type::Number { .. } | Type::Time { .. } | Type::Null) => of,
            other => return Err(invalid(at, format!("{} has no order here", other.name()), "use CASE")),
        };
        Ok(Typed { value: if least { Value::Least(values) } else { Value::Greatest(values) }, of })
    }

    fn null_if(&self, left: &Expr, right: &Expr, depth: usize, at: Option<Position>) -> Result<Typed, Refusal> {
        let typed = self.typed(left, depth + 1)?;
        let right = self.beside(self.typed(right, depth + 1)?, right, &typed)?;
        let left = typed;
        let original = left.of.clone();
        let (values, of) = unify(vec![left, right], at)?;
        let [left, right] = values.try_into().unwrap_or([Value::Null, Value::Null]);
        // The result is one of the left operand's values, though perhaps in a finer scale or a longer list.
        let of = match (original, of) {
            (Type::Number { lo, hi, scale: from }, Type::Number { scale, .. }) => {
                let factor = 10i64.pow(u32::from(scale - from));
                Type::Number { lo: lo.saturating_mul(factor), hi: hi.saturating_mul(factor), scale }
            }
            (_, of) => of,
        };
        Ok(Typed { value: Value::NullIf(Box::new(left), Box::new(right)), of })
    }

    /// `WIDTH_BUCKET(x, low, high, n)`: 0 below `low`, n + 1 from `high` on, else 1 to n.
    fn width_bucket(&self, args: &[&Expr], depth: usize, at: Option<Position>) -> Result<Typed, Refusal> {
        let classes = self.typed(args[3], depth + 1)?;
        let classes = match classes.of {
            Type::Number { scale: 0, .. } => classes.as_constant().filter(|classes| (1..=MAX_BUCKETS).contains(classes)),
            _ => None,
        };
        let classes = classes.ok_or_else(|| {
            invalid(place_of(args[3]), "the number of classes is a plain whole number", format!("write 1 to {MAX_BUCKETS}"))
        })?;
        let parts = args[..3].iter().map(|arg| self.typed(arg, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        let (values, of) = unify(parts, at)?;
        let [value, low, high] = values.try_into().unwrap_or([Value::Null, Value::Null, Value::Null]);
        let (Type::Number { lo, hi, .. }, Value::Constant(low), Value::Constant(high)) = (of, low, high) else {
            return Err(invalid(at, "WIDTH_BUCKET takes a number and two constants", "write WIDTH_BUCKET(x, low, high, classes)"));
        };
        if low >= high {
            return Err(invalid(
                at,
                "the lower end is not below the upper one",
                "write WIDTH_BUCKET(x, low, high, classes) with low < high",
            ));
        }
        let shifted = Value::Subtract(Box::new(value), Box::new(Value::Constant(low)));
        let range = (i128::from(lo) - i128::from(low), i128::from(hi) - i128::from(low));
        let shifted = Typed::number(shifted, range, 0, at)?;
        let scaled = Typed::number(
            Value::Multiply(Box::new(shifted.value), Box::new(Value::Constant(classes))),
            (range.0 * i128::from(classes), range.1 * i128::from(classes)),
            0,
            at,
        )?;
        let class = Value::Divide {
            left: Box::new(scaled.value),
            right: Box::new(Value::Constant(high.saturating_sub(low))),
            shift: 0,
            rounding: Rounding::Floor,
        };
        let from_one = Value::Add(Box::new(class), Box::new(Value::Constant(1)));
        let value = Value::Clamp { value: Box::new(from_one), lo: 0, hi: classes + 1 };
        Typed::number(value, (0, i128::from(classes) + 1), 0, at)
    }
}

fn absolute(inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let (lo, hi, scale) = inner.range(at)?;
    let least = if lo <= 0 && hi >= 0 { 0 } else { lo.abs().min(hi.abs()) };
    Typed::number(Value::Abs(Box::new(inner.value)), (least, lo.abs().max(hi.abs())), scale, at)
}

fn sign(inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let (lo, hi, _) = inner.range(at)?;
    Typed::number(Value::Sign(Box::new(inner.value)), (lo.signum(), hi.signum()), 0, at)
}

/// Digits after the point to round to.
fn digits(expr: Option<&Expr>) -> Result<u8, Refusal> {
    let Some(expr) = expr else { return Ok(0) };
    let read = match written(expr) {
        Some(Written::Number { digits, negative: false }) => fixed_point(digits, false, 0).ok(),
        _ => None,
    };
    read.and_then(|digits| u8::try_from(digits).ok().filter(|digits| *digits <= 9))
        .ok_or_else(|| invalid(place_of(expr), "the number of digits is a plain whole number", "write 0 to 9"))
}

/// Why a function that a statistician may want is not read.
fn unknown(name: &str, at: Option<Position>) -> Refusal {
    let (message, hint) = match name {
        "random" | "rand" | "uuid" | "gen_random_uuid" => ("the same question must always mean the same", "remove it"),
        "now" | "current_date" | "current_timestamp" | "current_time" | "localtime" | "localtimestamp" => {
            ("a question depends on its text only, not on the clock", "write the date: '2011-01-31'")
        }
        "sqrt" | "ln" | "log" | "log10" | "exp" | "power" | "pow" => {
            ("there are no floating-point numbers before noise is added", "make classes by WIDTH_BUCKET or CASE, or apply it to the answer")
        }
        "regexp_replace" | "regexp_match" | "regexp_like" | "regexp_matches" => {
            ("patterns that can take long are not read", "use LIKE, LEFT, SUBSTR or a list of codes")
        }
        "row_number" | "rank" | "dense_rank" | "lag" | "lead" | "ntile" => ("a window looks across people", "use GROUP BY"),
        "sum" | "count" | "avg" | "median" | "min" | "max" => {
            ("an aggregate does not stand here", "aggregates stand in SELECT, HAVING and ORDER BY, and not inside each other")
        }
        _ => ("this function is not read", "the reference lists the functions that are read"),
    };
    not_private(at, message, hint)
}

/// Whether a number is never NULL is not known; this says which rows have one.
pub(crate) fn is_not_null(value: &Value) -> Condition {
    Condition::Not(Box::new(Condition::IsNull(Box::new(value.clone()))))
}
