//! TPC-H's questions in our SQL and in a database's. What the specification joins row by row to public tables (part, supplier, nation), or to the
//! customer's own orders, stands in the bindings.

/// Returnflag and linestatus; every other question has fewer groups for each customer.
pub(super) const MAX_GROUPS: u32 = 6;

/// More than any customer has.
const MAX_ROWS: u32 = 1000;

/// A question.
pub(super) struct Tpch {
    pub(super) name: &'static str,
    pub(super) binding: &'static str,
    /// Whether the binding joins.
    pub(super) joins: bool,
    pub(super) sql: &'static str,
    /// Ordered by its keys.
    pub(super) duckdb: &'static str,
    /// Columns of the database's answer that our counts and sums are, in the order of the plan's outputs.
    pub(super) compared: &'static [usize],
}

const BY_FILE: &str = r#"contract = "tpch"

[[source]]
name = "lineitem"
format = "parquet"
path = "lineitem.parquet"

[[table]]
name = "line"
sql = """
SELECT l_custkey AS custkey, '1998' AS period, l_returnflag AS returnflag, l_linestatus AS linestatus, l_quantity AS quantity,
  l_extendedprice AS extendedprice, l_discount AS discount, l_tax AS tax, l_shipdate AS shipdate FROM lineitem"""
"#;

const BY_ORDERS: &str = r#"contract = "tpch"

[[source]]
name = "lineitem"
format = "parquet"
path = "lineitem.parquet"

[[source]]
name = "orders"
format = "parquet"
path = "orders.parquet"

[[table]]
name = "line"
sql = """
SELECT o.o_custkey AS custkey, '1998' AS period, l.l_returnflag AS returnflag, l.l_linestatus AS linestatus, l.l_quantity AS quantity,
  l.l_extendedprice AS extendedprice, l.l_discount AS discount, l.l_tax AS tax, l.l_shipdate AS shipdate
FROM orders AS o JOIN lineitem AS l ON o.o_orderkey = l.l_orderkey"""
"#;

const WITH_PART: &str = r#"contract = "tpch"

[[source]]
name = "lineitem"
format = "parquet"
path = "lineitem.parquet"

[[source]]
name = "part"
format = "parquet"
path = "part.parquet"

[[table]]
name = "line_part"
sql = """
SELECT l.l_custkey AS custkey, '1998' AS period, l.l_quantity AS quantity, l.l_extendedprice AS extendedprice, l.l_discount AS discount,
  l.l_shipdate AS shipdate, l.l_shipinstruct AS shipinstruct, l.l_shipmode AS shipmode, p.p_brand AS brand, p.p_type AS type, p.p_size AS size,
  p.p_container AS container
FROM part AS p JOIN lineitem AS l ON p.p_partkey = l.l_partkey"""
"#;

const WITH_NATIONS: &str = r#"contract = "tpch"

[[source]]
name = "lineitem"
format = "parquet"
path = "lineitem.parquet"

[[source]]
name = "orders"
format = "parquet"
path = "orders.parquet"

[[source]]
name = "customer"
format = "parquet"
path = "customer.parquet"

[[source]]
name = "supplier"
format = "parquet"
path = "supplier.parquet"

[[table]]
name = "line_nations"
sql = """
SELECT c.c_custkey AS custkey, '1998' AS period, o.o_orderdate AS orderdate, c.c_nationkey AS customer_nation, s.s_nationkey AS supplier_nation,
  l.l_extendedprice AS extendedprice, l.l_discount AS discount
FROM customer AS c JOIN orders AS o ON c.c_custkey = o.o_custkey JOIN lineitem AS l ON o.o_orderkey = l.l_orderkey
  JOIN supplier AS s ON l.l_suppkey = s.s_suppkey"""
"#;

const Q1: &str = "SELECT returnflag, linestatus, SUM(quantity) AS sum_qty, SUM(extendedprice) AS sum_base_price, \
     SUM(extendedprice * (1 - discount)) AS sum_disc_price, SUM(extendedprice * (1 - discount) * (1 + tax)) AS sum_charge, \
     AVG(quantity) AS avg_qty, AVG(extendedprice) AS avg_price, AVG(discount) AS avg_disc, COUNT(*) AS count_order \
     FROM tpch.line WHERE period = '1998' AND shipdate <= '1998-09-02' GROUP BY returnflag, linestatus";

const Q1_DUCKDB: &str = "SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)), \
     sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*) \
     FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus";

const Q6: &str = "SELECT SUM(extendedprice * discount) AS revenue FROM tpch.line WHERE period = '1998' AND shipdate >= '1994-01-01' \
     AND shipdate < '1995-01-01' AND discount BETWEEN 0.05 AND 0.07 AND quantity < 24";

const Q6_DUCKDB: &str = "SELECT sum(l_extendedprice * l_discount) FROM lineitem WHERE l_shipdate >= DATE '1994-01-01' \
     AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24";

pub(super) const QUESTIONS: &[Tpch] = &[
    Tpch { name: "Q1", binding: BY_FILE, joins: false, sql: Q1, duckdb: Q1_DUCKDB, compared: &[2, 3, 4, 5, 9, 9, 9, 9] },
    Tpch { name: "Q6", binding: BY_FILE, joins: false, sql: Q6, duckdb: Q6_DUCKDB, compared: &[0] },
    Tpch {
        name: "Q1, customer by a join with orders",
        binding: BY_ORDERS,
        joins: true,
        sql: Q1,
        duckdb: Q1_DUCKDB,
        compared: &[2, 3, 4, 5, 9, 9, 9, 9],
    },
    Tpch { name: "Q6, customer by a join with orders", binding: BY_ORDERS, joins: true, sql: Q6, duckdb: Q6_DUCKDB, compared: &[0] },
    Tpch {
        name: "Q14",
        binding: WITH_PART,
        joins: true,
        sql: "SELECT 100.00 * SUM(CASE WHEN type LIKE 'PROMO%' THEN extendedprice * (1 - discount) ELSE 0 END) / SUM(extendedprice * (1 - discount)) \
              AS promo_revenue FROM tpch.line_part WHERE period = '1998' AND shipdate >= '1995-09-01' AND shipdate < '1995-10-01'",
        duckdb: "SELECT sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END), \
                 sum(l_extendedprice * (1 - l_discount)) FROM lineitem, part WHERE l_partkey = p_partkey AND l_shipdate >= DATE '1995-09-01' \
                 AND l_shipdate < DATE '1995-10-01'",
        compared: &[0, 1],
    },
    Tpch {
        name: "Q19",
        binding: WITH_PART,
        joins: true,
        sql: "SELECT SUM(extendedprice * (1 - discount)) AS revenue FROM tpch.line_part WHERE period = '1998' AND (\
              (brand = 'Brand#12' AND container IN ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG') AND quantity BETWEEN 1 AND 11 AND size BETWEEN 1 AND 5 \
              AND shipmode IN ('AIR', 'REG AIR') AND shipinstruct = 'DELIVER IN PERSON') OR \
              (brand = 'Brand#23' AND container IN ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK') AND quantity BETWEEN 10 AND 20 AND size BETWEEN 1 AND 10 \
              AND shipmode IN ('AIR', 'REG AIR') AND shipinstruct = 'DELIVER IN PERSON') OR \
              (brand = 'Brand#34' AND container IN ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG') AND quantity BETWEEN 20 AND 30 AND size BETWEEN 1 AND 15 \
              AND shipmode IN ('AIR', 'REG AIR') AND shipinstruct = 'DELIVER IN PERSON'))",
        duckdb: "SELECT sum(l_extendedprice * (1 - l_discount)) FROM lineitem, part WHERE p_partkey = l_partkey AND (\
              (p_brand = 'Brand#12' AND p_container IN ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG') AND l_quantity BETWEEN 1 AND 11 AND p_size BETWEEN 1 AND 5 \
              AND l_shipmode IN ('AIR', 'REG AIR') AND l_shipinstruct = 'DELIVER IN PERSON') OR \
              (p_brand = 'Brand#23' AND p_container IN ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK') AND l_quantity BETWEEN 10 AND 20 AND p_size BETWEEN 1 AND 10 \
              AND l_shipmode IN ('AIR', 'REG AIR') AND l_shipinstruct = 'DELIVER IN PERSON') OR \
              (p_brand = 'Brand#34' AND p_container IN ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG') AND l_quantity BETWEEN 20 AND 30 AND p_size BETWEEN 1 AND 15 \
              AND l_shipmode IN ('AIR', 'REG AIR') AND l_shipinstruct = 'DELIVER IN PERSON'))",
        compared: &[0],
    },
    Tpch {
        name: "Q5",
        binding: WITH_NATIONS,
        joins: true,
        // Asia's nations.
        sql: "SELECT supplier_nation, SUM(extendedprice * (1 - discount)) AS revenue FROM tpch.line_nations WHERE period = '1998' \
              AND orderdate >= '1994-01-01' AND orderdate < '1995-01-01' AND customer_nation = supplier_nation \
              AND supplier_nation IN (8, 9, 12, 18, 21) GROUP BY supplier_nation",
        duckdb: "SELECT n_nationkey, sum(l_extendedprice * (1 - l_discount)) FROM customer, orders, lineitem, supplier, nation, region \
              WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND c_nationkey = s_nationkey \
              AND s_nationkey = n_nationkey AND n_regionkey = r_regionkey AND r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' \
              AND o_orderdate < DATE '1995-01-01' GROUP BY n_nationkey ORDER BY n_nationkey",
        compared: &[1],
    },
];

const TITLES: &str = "titles = { en = \"t\", fr = \"t\", nl = \"t\", de = \"t\" }";

/// The data contract.
pub(super) fn contract() -> String {
    let number = |name: &str, hi: u32, scale: u8| column(name, &format!("type = \"number\"\nlo = 0\nhi = {hi}\nscale = {scale}"));
    let code = |name: &str| column(name, &format!("type = \"code\"\nlist = \"{name}\"\nversion = \"1\""));
    let time = |name: &str| column(name, "type = \"time\"\nfirst = \"1992-01-01\"\nlast = \"1998-12-31\"");
    let (price, discount) = (number("extendedprice", 10_500_000, 2), number("discount", 10, 2));
    let quantity = number("quantity", 5_000, 2);
    let line =
        [code("returnflag"), code("linestatus"), quantity.clone(), price.clone(), discount.clone(), number("tax", 8, 2), time("shipdate")];
    let line_part = [
        quantity,
        price.clone(),
        discount.clone(),
        time("shipdate"),
        code("shipinstruct"),
        code("shipmode"),
        code("brand"),
        code("type"),
        number("size", 50, 0),
        code("container"),
    ];
    let line_nations = [time("orderdate"), number("customer_nation", 24, 0), number("supplier_nation", 24, 0), price, discount];
    let table = |name: &str, columns: &[String]| {
        format!("[[table]]\nname = \"{name}\"\n{TITLES}\nmax_rows_per_person = {MAX_ROWS}\nmax_rows = 1000000000\n{}", columns.concat())
    };
    let head = format!(
        "name = \"tpch\"\nversion = 1\nmax_groups_per_person = {MAX_GROUPS}\nmax_holders_per_person = 1\n{TITLES}\n\
         unit = {{ kind = \"person\", column = \"custkey\" }}\n\
         partition = {{ column = \"period\", calendar = \"year\", first = \"1998\", last = \"1998\" }}\n\
         budget = {{ domain = \"tpch\", rho_cap = \"1\", delta_conv = \"1e-9\" }}\n"
    );
    let words = |lists: &[&[&str]]| {
        lists.iter().fold(vec![String::new()], |texts, list| {
            let longer = |text: &String, word: &&str| if text.is_empty() { (*word).to_owned() } else { format!("{text} {word}") };
            texts.iter().flat_map(|text| list.iter().map(move |word| longer(text, word))).collect()
        })
    };
    let lists = [
        list("returnflag", &words(&[&["A", "N", "R"]])),
        list("linestatus", &words(&[&["F", "O"]])),
        list("shipinstruct", &words(&[&["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]])),
        list("shipmode", &words(&[&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]])),
        list("brand", &(1..=5).flat_map(|maker| (1..=5).map(move |brand| format!("Brand#{maker}{brand}"))).collect::<Vec<_>>()),
        list(
            "type",
            &words(&[
                &["ECONOMY", "LARGE", "MEDIUM", "PROMO", "SMALL", "STANDARD"],
                &["ANODIZED", "BRUSHED", "BURNISHED", "PLATED", "POLISHED"],
                &["BRASS", "COPPER", "NICKEL", "STEEL", "TIN"],
            ]),
        ),
        list("container", &words(&[&["JUMBO", "LG", "MED", "SM", "WRAP"], &["BAG", "BOX", "CAN", "CASE", "DRUM", "JAR", "PACK", "PKG"]])),
    ];
    [head, table("line", &line), table("line_part", &line_part), table("line_nations", &line_nations), lists.concat()].concat()
}

fn column(name: &str, is: &str) -> String {
    format!("[[table.column]]\nname = \"{name}\"\n{is}\n{TITLES}\n")
}

fn list(name: &str, codes: &[String]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| format!("{{ code = \"{code}\", {TITLES} }}")).collect();
    format!(
        "[[code_list]]\nname = \"{name}\"\nversion = \"1\"\nvalid_from = \"1998\"\nvalid_to = \"1998\"\ncodes = [{}]\n",
        codes.join(", ")
    )
}
