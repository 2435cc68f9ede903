//! Aggregates, and what is computed from them.

use super::scalar::Kind;
use super::{Draft, filled};

/// One way to write an aggregate over a number.
pub(super) struct Template {
    pub(super) construct: &'static str,
    text: &'static str,
}

const fn t(construct: &'static str, text: &'static str) -> Template {
    Template { construct, text }
}

/// `{}` stands for the number.
pub(super) const TEMPLATES: &[Template] = &[
    t("count", "COUNT({})"),
    t("COUNT(*)", "COUNT(*)"),
    t("sum", "SUM({})"),
    t("sum", "SUM(whole)"),
    t("avg", "AVG({})"),
    t("mean", "MEAN({})"),
    t("var", "VAR({})"),
    t("var_samp", "VAR_SAMP({})"),
    t("var_pop", "VAR_POP({})"),
    t("variance", "VARIANCE({})"),
    t("stddev", "STDDEV({})"),
    t("stddev_samp", "STDDEV_SAMP({})"),
    t("stddev_pop", "STDDEV_POP({})"),
    t("median", "MEDIAN({})"),
    t("approx_median", "APPROX_MEDIAN({})"),
    t("percentile_cont", "PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY {})"),
    t("percentile_cont", "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY {} DESC)"),
    t("quantile_cont", "QUANTILE_CONT({}, 0.1)"),
    t("approx_percentile_cont", "APPROX_PERCENTILE_CONT({}, 0.75)"),
];

impl Draft<'_> {
    /// A random aggregate, or the wanted one; over `number` if one is given.
    pub(super) fn aggregate(&mut self, number: Option<String>) -> String {
        let all: Vec<&Template> = TEMPLATES.iter().collect();
        let missing = |template: &&Template| self.wants(template.construct) && !self.used.contains(template.construct);
        let wanted: Vec<&Template> = all.iter().copied().filter(missing).collect();
        // A number that must occur must be read.
        let fits = |template: &&Template| number.is_none() || template.text.contains("{}");
        let fitting = |of: &[&'static Template]| -> Vec<&'static Template> { of.iter().copied().filter(fits).collect() };
        let (wanted, all) = (fitting(&wanted), fitting(&all));
        let template = self.dice.of(if wanted.is_empty() { &all } else { &wanted });
        self.used.insert(template.construct);
        let number = if template.text.contains("{}") { number.unwrap_or_else(|| self.bounded_number()) } else { String::new() };
        let text = filled(template.text, &[number]);
        if self.takes("FILTER", 5) {
            let condition = self.expression(Kind::Truth);
            return format!("{text} FILTER (WHERE {condition})");
        }
        text
    }

    /// A number that every statistic takes: small, or of bounded range.
    fn bounded_number(&mut self) -> String {
        match self.dice.below(4) {
            0 => "small".to_owned(),
            1 => "amount".to_owned(),
            2 => {
                let number = self.expression(Kind::Number);
                self.used.extend(["least", "greatest"]);
                format!("LEAST(GREATEST({number}, -60), 90)")
            }
            _ => self.expression(Kind::Small),
        }
    }
}
