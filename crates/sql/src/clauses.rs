//! The allow-list of clauses: what one SELECT may consist of, for questions and for bindings alike.
//!
//! Every struct is taken apart without `..`: a clause that a new `sqlparser` reads must be decided upon here before it compiles.

use commun_domain::error::Position;
use sqlparser::ast::{
    Expr, Fetch, GroupByExpr, Ident, LimitClause, Offset, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, With,
};
use sqlparser::keywords::Keyword;

use crate::text::Parsed;

/// A clause that is read but not allowed: its name, what an agency does instead, and why a binding may not have it.
#[derive(Debug)]
pub(crate) struct Construct {
    pub(crate) name: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) why: &'static str,
    keywords: &'static [Keyword],
}

impl Construct {
    /// Where it stands in the text; else where the statement starts.
    pub(crate) fn place(&self, parsed: &Parsed) -> Option<Position> {
        parsed.find(self.keywords).or_else(|| parsed.find(&[Keyword::SELECT]))
    }
}

const ACROSS: &str = "a binding treats each row alone, and this looks at other people's rows";

macro_rules! constructs {
    ($($id:ident: $name:literal, [$($keyword:ident),*], $hint:literal, $why:expr;)*) => {
        $(pub(crate) const $id: &Construct = &Construct { name: $name, hint: $hint, why: $why, keywords: &[$(Keyword::$keyword),*] };)*
    };
}

constructs! {
    WITH: "WITH here", [WITH], "write WITH once, before the first SELECT, and without RECURSIVE", ACROSS;
    SUBQUERY: "a subquery", [FROM], "write one SELECT over the table itself", ACROSS;
    SET_OPERATION: "UNION, EXCEPT or INTERSECT here", [UNION, EXCEPT, INTERSECT],
        "send the SELECTs one by one, each is a question of its own; rows of persons are brought together by UNION ALL in a subquery",
        "only UNION ALL keeps each row apart from the others";
    ORDER_BY: "ORDER BY", [ORDER], "sort the answer itself: write ORDER BY once, at the end; the order of rows means nothing", ACROSS;
    LIMIT: "LIMIT, OFFSET or FETCH", [LIMIT, OFFSET, FETCH], "cut the answer itself: write LIMIT with a number, once, at the end; some rows of some people would be any rows", ACROSS;
    LOCK: "FOR UPDATE and other locks", [FOR], "remove it", "nothing is written";
    DISTINCT: "SELECT DISTINCT or ALL", [DISTINCT, ALL], "use GROUP BY with an aggregate; COUNT(DISTINCT unit) counts people", ACROSS;
    HAVING: "HAVING here", [HAVING], "write HAVING beside the aggregates, in the outermost SELECT", ACROSS;
    WINDOW: "WINDOW or QUALIFY", [OVER, WINDOW, QUALIFY], "write OVER (PARTITION BY ...) in a subquery, and WHERE on its column outside", ACROSS;
    INTO: "SELECT INTO", [INTO], "remove INTO: the answer is sent to you", "nothing is written";
    JOIN: "this join", [JOIN, FROM], "write JOIN or LEFT JOIN: public tables ON column = table.key, tables of persons ON the unit and the partition",
        "only INNER and LEFT JOIN between sources on equal columns keep each row apart from the others";
    TABLE_EXTRA: "something other than a plain table name after FROM", [FROM], "write FROM contract.table, with or without an alias",
        "only the named sources may be read";
    GROUPING: "GROUP BY ALL or WITH ROLLUP", [GROUP], "list the keys, or write ROLLUP (...), CUBE (...) or GROUPING SETS (...)", ACROSS;
    GROUP_BY: "GROUP BY", [GROUP], "remove it", ACROSS;
    VENDOR: "a clause that only some databases have", [TOP, SETTINGS, FORMAT, LATERAL, CONNECT, CLUSTER, DISTRIBUTE, SORT, PREWHERE],
        "write SELECT ... FROM ... WHERE ... GROUP BY ...", "only SELECT, FROM, JOIN, WHERE and UNION ALL are read";
}

/// What is left of a SELECT that has only allowed clauses.
#[derive(Debug)]
pub(crate) struct BareSelect<'a> {
    pub(crate) items: &'a [SelectItem],
    pub(crate) from: &'a [TableWithJoins],
    pub(crate) filter: Option<&'a Expr>,
    pub(crate) group_by: &'a [Expr],
    pub(crate) having: Option<&'a Expr>,
}

/// A query taken apart.
#[derive(Debug)]
pub(crate) struct QueryParts<'a> {
    pub(crate) with: Option<&'a With>,
    pub(crate) body: &'a SetExpr,
    pub(crate) order_by: &'a [OrderByExpr],
    pub(crate) limit: Option<&'a Expr>,
    pub(crate) offset: Option<&'a Expr>,
}

/// The parts of a query that has only allowed clauses at its outside.
pub(crate) fn query_parts(query: &Query) -> Result<QueryParts<'_>, &'static Construct> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } = query;
    let excess = [
        (!locks.is_empty() || for_clause.is_some(), LOCK),
        (settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty(), VENDOR),
    ];
    if let Some(construct) = first_of(&excess) {
        return Err(construct);
    }
    let order_by: &[OrderByExpr] = match order_by {
        None => &[],
        Some(OrderBy { kind: OrderByKind::Expressions(items), interpolate: None }) => items,
        Some(_) => return Err(ORDER_BY),
    };
    let (limit, offset) = match limit_clause {
        None => (None, None),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            (limit.as_ref(), offset.as_ref().map(|Offset { value, rows: _ }| value))
        }
        Some(_) => return Err(LIMIT),
    };
    let limit = match (limit, fetch) {
        (limit, None) => limit,
        (None, Some(Fetch { with_ties: false, percent: false, quantity: Some(quantity) })) => Some(quantity),
        _ => return Err(LIMIT),
    };
    Ok(QueryParts { with: with.as_ref(), body, order_by, limit, offset })
}

/// The body of a query that has nothing else.
pub(crate) fn bare_query(query: &Query) -> Result<&SetExpr, &'static Construct> {
    let QueryParts { with, body, order_by, limit, offset } = query_parts(query)?;
    let excess = [(with.is_some(), WITH), (!order_by.is_empty(), ORDER_BY), (limit.is_some() || offset.is_some(), LIMIT)];
    first_of(&excess).map_or(Ok(body), Err)
}

/// The parts of a SELECT that has nothing else than items, FROM, WHERE, GROUP BY and HAVING.
pub(crate) fn bare_select(select: &Select) -> Result<BareSelect<'_>, &'static Construct> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify,
        value_table_mode,
        flavor,
    } = select;
    let vendor = !optimizer_hints.is_empty()
        || select_modifiers.is_some()
        || top.is_some()
        || *top_before_distinct
        || exclude.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || !sort_by.is_empty()
        || value_table_mode.is_some()
        || *flavor != SelectFlavor::Standard;
    let (keys, modifiers): (&[Expr], _) = match group_by {
        GroupByExpr::All(_) => return Err(GROUPING),
        GroupByExpr::Expressions(keys, modifiers) => (keys, modifiers),
    };
    let excess = [
        (distinct.is_some(), DISTINCT),
        (!named_window.is_empty() || qualify.is_some() || *window_before_qualify, WINDOW),
        (into.is_some(), INTO),
        (!modifiers.is_empty(), GROUPING),
        (vendor, VENDOR),
    ];
    let parts = BareSelect { items: projection, from, filter: selection.as_ref(), group_by: keys, having: having.as_ref() };
    first_of(&excess).map_or(Ok(parts), Err)
}

/// A plain table name and its alias.
pub(crate) fn bare_table(factor: &TableFactor) -> Result<(&[sqlparser::ast::ObjectNamePart], Option<&Ident>), &'static Construct> {
    match factor {
        TableFactor::Table { name, alias, args, with_hints, version, with_ordinality, partitions, json_path, sample, index_hints } => {
            let plain = args.is_none()
                && with_hints.is_empty()
                && version.is_none()
                && !with_ordinality
                && partitions.is_empty()
                && json_path.is_none()
                && sample.is_none()
                && index_hints.is_empty();
            let alias = match alias {
                None => None,
                Some(TableAlias { explicit: _, name, columns, at }) if columns.is_empty() && at.is_none() => Some(name),
                Some(_) => return Err(TABLE_EXTRA),
            };
            if plain { Ok((&name.0, alias)) } else { Err(TABLE_EXTRA) }
        }
        TableFactor::Derived { .. } => Err(SUBQUERY),
        TableFactor::NestedJoin { .. } => Err(JOIN),
        // Table functions, UNNEST, PIVOT and what else a new version reads: refused whatever their fields say.
        _ => Err(TABLE_EXTRA),
    }
}

fn first_of(excess: &[(bool, &'static Construct)]) -> Option<&'static Construct> {
    excess.iter().find(|(present, _)| *present).map(|(_, construct)| *construct)
}
