//! Which scalar expressions a binding may use: an allow-list of expressions that are total and look at one row.
//!
//! Total means that no value of a cell makes them fail: an error that one row causes would show that row (P9). So a divisor is a positive
//! literal, lengths and fields are literals, and CAST becomes `TRY_CAST` before it runs. What types the cells have is not known here: the
//! casts that the engine itself inserts are the engine's to make total.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, ExtractSyntax, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, TypedString, UnaryOperator, Value,
};

use crate::binding::BindingFault;
use crate::refuse::place_of;

/// Deepest tree of an expression: printing and comparing a tree takes stack, and `a || b || ...` is as deep as it is long.
pub(crate) const MAX_EXPRESSION_DEPTH: usize = 100;

/// Longest text that padding may make, and last position of a cut.
const MAX_LENGTH: u64 = 1_000;

const ACROSS: &str = "a binding treats each row alone, and this looks at other rows";
const NOT_LISTED: &str = "only expressions that are known never to fail on a cell are read; the reference lists them";
const WANTS_LITERAL: &str = "a value from a cell could make it fail, and a failure would show that cell";

/// What an argument of a function must be.
#[derive(Clone, Copy, Debug)]
enum Argument {
    /// Any scalar expression.
    Any,
    /// A whole number from 1 to [`MAX_LENGTH`].
    Length,
    /// A text literal.
    Text,
}

/// The functions: name, fewest arguments, arguments (the last one repeats when `true`).
const FUNCTIONS: &[(&str, usize, &[Argument], bool)] = {
    use Argument::{Any, Length, Text};
    &[
        ("lower", 1, &[Any], false),
        ("upper", 1, &[Any], false),
        ("trim", 1, &[Any], false),
        ("btrim", 1, &[Any, Text], false),
        ("ltrim", 1, &[Any, Text], false),
        ("rtrim", 1, &[Any, Text], false),
        ("substr", 2, &[Any, Length, Length], false),
        ("substring", 2, &[Any, Length, Length], false),
        ("concat", 1, &[Any], true),
        ("coalesce", 1, &[Any], true),
        ("nullif", 2, &[Any, Any], false),
        ("replace", 3, &[Any, Text, Text], false),
        ("lpad", 2, &[Any, Length, Text], false),
        ("rpad", 2, &[Any, Length, Text], false),
        ("left", 2, &[Any, Length], false),
        ("right", 2, &[Any, Length], false),
        ("length", 1, &[Any], false),
        ("char_length", 1, &[Any], false),
        ("character_length", 1, &[Any], false),
        ("split_part", 3, &[Any, Text, Length], false),
        ("date_part", 2, &[Text, Any], false),
        ("date_trunc", 2, &[Text, Any], false),
        ("to_char", 2, &[Any, Text], false),
        ("round", 1, &[Any, Length], false),
        ("floor", 1, &[Any], false),
        ("ceil", 1, &[Any], false),
    ]
};

fn fault(expr: &Expr, what: impl Into<String>, why: &'static str) -> BindingFault {
    BindingFault::new(place_of(expr), what, why)
}

/// Checks an expression and all its parts. A loop over a list of parts, because chains of operators are as deep as they are long.
pub(crate) fn check(expr: &Expr) -> Result<(), BindingFault> {
    let (mut todo, mut parts) = (vec![(expr, 1)], Vec::new());
    while let Some((expr, depth)) = todo.pop() {
        if depth > MAX_EXPRESSION_DEPTH {
            let why = format!("shorten chains of operators (IN for OR, concat for ||) to {MAX_EXPRESSION_DEPTH}");
            return Err(BindingFault::new(place_of(expr), format!("an expression deeper than {MAX_EXPRESSION_DEPTH}"), why));
        }
        check_one(expr, &mut parts)?;
        todo.extend(parts.drain(..).map(|part| (part, depth + 1)));
    }
    Ok(())
}

fn check_one<'e>(expr: &'e Expr, todo: &mut Vec<&'e Expr>) -> Result<(), BindingFault> {
    match expr {
        // The engine's dialect reads these bare words as functions.
        Expr::Identifier(ident) if ident.quote_style.is_none() && is_session_word(&ident.value) => {
            Err(fault(expr, format!("the function {}", ident.value.to_ascii_lowercase()), why_not("current_user")))
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Ok(()),
        Expr::Value(value) => check_value(expr, &value.value),
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::Extract { field: _, syntax: ExtractSyntax::From | ExtractSyntax::Comma, expr: inner }
        | Expr::Ceil { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
        | Expr::Floor { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) }
        | Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::Minus | UnaryOperator::Plus, expr: inner } => {
            todo.push(inner);
            Ok(())
        }
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            todo.extend([&**left, &**right]);
            Ok(())
        }
        Expr::BinaryOp { left, op, right } => {
            check_operator(expr, op, right)?;
            todo.extend([&**left, &**right]);
            Ok(())
        }
        Expr::InList { expr: tested, list, negated: _ } => {
            todo.push(tested);
            todo.extend(list);
            Ok(())
        }
        Expr::Between { expr: tested, negated: _, low, high } => {
            todo.extend([&**tested, &**low, &**high]);
            Ok(())
        }
        Expr::Like { negated: _, any: false, expr: tested, pattern, escape_char: None } if text(pattern).is_some() => {
            todo.push(tested);
            Ok(())
        }
        Expr::Like { .. } => Err(fault(expr, "LIKE with something other than a literal pattern", WANTS_LITERAL)),
        Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
            todo.extend(operand.as_deref());
            for CaseWhen { condition, result } in conditions {
                todo.extend([condition, result]);
            }
            todo.extend(else_result.as_deref());
            Ok(())
        }
        Expr::Cast { kind, expr: inner, data_type, array: false, format: None } => {
            let (CastKind::Cast | CastKind::TryCast | CastKind::SafeCast | CastKind::DoubleColon) = kind;
            if !is_plain_type(data_type) {
                return Err(fault(
                    expr,
                    "CAST to this type",
                    "use BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL, VARCHAR, TEXT, DATE or TIMESTAMP",
                ));
            }
            todo.push(inner);
            Ok(())
        }
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) if is_plain_type(data_type) => {
            check_value(expr, &value.value)
        }
        Expr::Substring { expr: inner, substring_from, substring_for, special: _, shorthand: _ } => {
            for part in [substring_from, substring_for].into_iter().flatten() {
                check_argument(part, Argument::Length)?;
            }
            todo.push(inner);
            Ok(())
        }
        Expr::Trim { trim_where: _, trim_what, expr: inner, trim_characters: None } => {
            if let Some(what) = trim_what {
                check_argument(what, Argument::Text)?;
            }
            todo.push(inner);
            Ok(())
        }
        Expr::Function(function) => check_function(expr, function, todo),
        Expr::Exists { .. } | Expr::Subquery(_) | Expr::InSubquery { .. } => Err(fault(expr, "a subquery", ACROSS)),
        _ => Err(fault(expr, "this expression", NOT_LISTED)),
    }
}

fn is_session_word(word: &str) -> bool {
    ["current_catalog", "current_user", "session_user", "user"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn check_value(expr: &Expr, value: &Value) -> Result<(), BindingFault> {
    match value {
        Value::Number(_, false) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => Ok(()),
        Value::Placeholder(_) => Err(fault(expr, "a parameter", "a binding is complete: nobody fills parameters in")),
        _ => Err(fault(expr, "this kind of literal", "write 'text' in single quotes, a plain number, TRUE, FALSE or NULL")),
    }
}

fn check_operator(whole: &Expr, op: &BinaryOperator, right: &Expr) -> Result<(), BindingFault> {
    match op {
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::StringConcat
        | BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq
        | BinaryOperator::And
        | BinaryOperator::Or => Ok(()),
        BinaryOperator::Divide | BinaryOperator::Modulo => match right {
            Expr::Value(value) if matches!(&value.value, Value::Number(digits, false) if is_positive(digits)) => Ok(()),
            _ => Err(fault(whole, "a division by something other than a positive number", "x / 0 fails, and a failure would show a cell")),
        },
        _ => Err(fault(whole, format!("the operator {op}"), NOT_LISTED)),
    }
}

fn is_positive(digits: &str) -> bool {
    digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

fn check_function<'e>(expr: &'e Expr, function: &'e Function, todo: &mut Vec<&'e Expr>) -> Result<(), BindingFault> {
    let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
    let called = match name.0.as_slice() {
        [part] => part.as_ident().filter(|ident| ident.quote_style.is_none()).map(|ident| ident.value.to_ascii_lowercase()),
        _ => None,
    };
    let called = called.unwrap_or_default();
    if over.is_some() {
        return Err(fault(expr, "a window function", ACROSS));
    }
    let Some((_, fewest, arguments, repeats)) = FUNCTIONS.iter().find(|(known, ..)| *known == called) else {
        return Err(fault(expr, format!("the function {}", if called.is_empty() { "of this name" } else { &called }), why_not(&called)));
    };
    let plain = !uses_odbc_syntax
        && matches!(parameters, FunctionArguments::None)
        && filter.is_none()
        && null_treatment.is_none()
        && within_group.is_empty();
    let given = match args {
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }) if plain && clauses.is_empty() => args,
        _ => return Err(fault(expr, format!("this form of {called}"), NOT_LISTED)),
    };
    if given.len() < *fewest || (given.len() > arguments.len() && !repeats) {
        return Err(fault(expr, format!("{called} with {} arguments", given.len()), "the number of arguments is wrong"));
    }
    for (number, given) in given.iter().enumerate() {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(given)) = given else {
            return Err(fault(expr, format!("{called} with a named argument or *"), NOT_LISTED));
        };
        match arguments.get(number).or(arguments.last()) {
            Some(Argument::Any) | None => todo.push(given),
            Some(wanted) => check_argument(given, *wanted)?,
        }
    }
    Ok(())
}

fn check_argument(given: &Expr, wanted: Argument) -> Result<(), BindingFault> {
    match wanted {
        Argument::Any => Ok(()),
        Argument::Text if text(given).is_some() => Ok(()),
        Argument::Text => Err(fault(given, "something other than a text literal here", WANTS_LITERAL)),
        Argument::Length => match given {
            Expr::Value(value) if matches!(&value.value, Value::Number(digits, false) if is_length(digits)) => Ok(()),
            _ => Err(fault(given, format!("something other than a number from 1 to {MAX_LENGTH} here"), WANTS_LITERAL)),
        },
    }
}

fn is_length(digits: &str) -> bool {
    digits.parse().is_ok_and(|length: u64| (1..=MAX_LENGTH).contains(&length))
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_plain_type(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::SmallInt(None)
            | DataType::Int(None)
            | DataType::Integer(None)
            | DataType::BigInt(None)
            | DataType::Real
            | DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Decimal(_)
            | DataType::Numeric(_)
            | DataType::Varchar(None)
            | DataType::Text
            | DataType::Date
            | DataType::Timestamp(None, _)
    )
}

/// Why some functions that a holder may want are not listed.
fn why_not(called: &str) -> &'static str {
    match called {
        "count" | "sum" | "avg" | "min" | "max" | "median" | "stddev" | "variance" | "array_agg" | "string_agg" | "first_value"
        | "last_value" | "bool_and" | "bool_or" | "approx_distinct" => {
            "an aggregate mixes the rows of many people; Commun aggregates later"
        }
        "random" | "rand" | "uuid" | "gen_random_uuid" => "the same rows must always give the same values",
        "now" | "current_date" | "current_time" | "current_timestamp" | "localtime" | "localtimestamp" | "today" => {
            "a binding depends on its rows only, not on the clock"
        }
        "current_user" | "session_user" | "user" | "current_role" | "version" => {
            "a binding depends on its rows only, not on the session; a column of this name is written in double quotes"
        }
        "to_date" | "to_timestamp" | "date" => "it fails on a text that is no date; write CAST(column AS DATE), which gives NULL instead",
        "abs" => "it fails on the least integer; write CASE WHEN x < 0 THEN -x ELSE x END",
        "repeat" => "its result may be as long as memory allows",
        "sqrt" | "ln" | "log" | "exp" | "power" | "pow" => "it gives no number for some values; sums take fixed-point numbers",
        "regexp_replace" | "regexp_match" | "regexp_like" => "the time of a pattern may depend on one cell; use split_part, substr or LIKE",
        "row_number" | "rank" | "lag" | "lead" => ACROSS,
        _ => NOT_LISTED,
    }
}
