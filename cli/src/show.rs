//! Documents for the eyes of whoever signs them: every field, nothing left out.

use commun_domain::Hash32;
use commun_domain::contract::{ColumnType, DataContract};
use commun_domain::permit::Permit;
use commun_domain::plan::time;
use commun_domain::titles::Titles;

fn day(unix: u64) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0))
        .map_or_else(|| format!("second {unix}"), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A permit, all fields.
pub fn permit(permit: &Permit, hash: &Hash32) -> String {
    let mut lines = vec![
        format!("Permit         {}", permit.reference),
        format!("hash           {hash}"),
        format!("agency         {}", permit.agency),
        format!("purpose        {}", permit.purpose),
        format!("legal basis    {}", permit.legal_basis),
        format!("decision       {} (sha256 {})", permit.decision_ref, permit.decision_sha256),
        format!("controller     {}", permit.controller),
    ];
    lines.extend(permit.prohibited_uses.iter().map(|text| format!("prohibited     {text}")));
    lines.push(format!("data contract  {} (sha256 {})", permit.contract_name, permit.contract));
    lines.extend(permit.tables.iter().map(|entry| format!("table          {}: {}", entry.table, entry.columns.join(", "))));
    let classes: Vec<&str> = permit.query_classes.iter().map(|class| class.as_str()).collect();
    lines.push(format!("statistics     {}", classes.join(", ")));
    lines.push(format!("budget         rho {}, delta {} for each holder and period", permit.rho_cap, permit.delta_cap));
    lines.push(format!(
        "unmasked       {}",
        if permit.unmasked { "yes: each holder may release its own answer, with full noise" } else { "no" }
    ));
    lines.push(format!("publication    {} day(s) after the result", permit.publication_delay_days));
    lines.push(format!("valid          {} to {}", day(permit.valid_from_unix), day(permit.valid_until_unix)));
    lines.extend(permit.query_keys.iter().map(|key| format!("query key      {key}")));
    lines.join("\n")
}

fn titles(titles: &Titles) -> String {
    format!("{} | {} | {} | {}", titles.fr, titles.nl, titles.de, titles.en)
}

/// A data contract, all fields.
pub fn contract(contract: &DataContract, hash: &Hash32) -> String {
    let calendar = contract.calendar;
    let mut lines = vec![
        format!("Data contract  {} version {}", contract.name, contract.version),
        format!("hash           {hash}"),
        format!("title          {}", titles(&contract.titles)),
        format!("privacy unit   one person, column {}", contract.unit_column),
        format!(
            "partitions     column {}, {} to {}",
            contract.partition_column,
            calendar.format(contract.first_period),
            calendar.format(contract.last_period)
        ),
        format!(
            "budget         domain {}: rho {} for each holder and period, for ever; delta {} converts epsilon, delta {} for open keys",
            contract.budget_domain, contract.rho_cap, contract.delta_conv, contract.delta_keys
        ),
        format!(
            "bounds         at most {} group(s) a person; one person at up to {} holder(s)",
            contract.max_groups_per_person, contract.max_holders_per_person
        ),
    ];
    for table in &contract.tables {
        lines.push(format!(
            "table          {}.{}: {} (at most {} row(s) of a person count, at most {} rows)",
            contract.name,
            table.name,
            titles(&table.titles),
            table.max_rows_per_person,
            table.max_rows
        ));
        for column in &table.columns {
            let text = match &column.column_type {
                ColumnType::Code { list, version } => format!("code of {list} {version}"),
                ColumnType::Number { lo, hi, scale: 0 } => format!("number from {lo} to {hi}"),
                ColumnType::Number { lo, hi, scale } => format!("number from {lo} to {hi} in units of 10^-{scale}"),
                ColumnType::Boolean => "true or false".to_owned(),
                ColumnType::OpenText { max_bytes } => format!("open text of at most {max_bytes} bytes, a group key and nothing else"),
                ColumnType::Time { lo, hi } => format!("time from {} to {}", time::format(*lo, false), time::format(*hi, false)),
            };
            lines.push(format!("  column       {}: {text}; {}", column.name, titles(&column.titles)));
        }
    }
    for dimension in &contract.dimensions {
        lines.push(format!(
            "public table   {}.{}: {} (one row for each code of {} {})",
            contract.name,
            dimension.name,
            titles(&dimension.titles),
            dimension.list,
            dimension.version
        ));
        lines.push(format!("  key          {}", dimension.key));
        for attribute in &dimension.attributes {
            lines.push(format!(
                "  attribute    {}: code of {} {}; {}",
                attribute.name,
                attribute.list,
                attribute.version,
                titles(&attribute.titles)
            ));
        }
    }
    for list in &contract.code_lists {
        lines.push(format!(
            "code list      {} {}: {} code(s), for {} to {}",
            list.name,
            list.version,
            list.codes.len(),
            calendar.format(list.valid_from),
            calendar.format(list.valid_to)
        ));
        lines.extend(list.codes.iter().map(|code| format!("  code         {}: {}", code.code, titles(&code.titles))));
    }
    lines.join("\n")
}
