//! The tables, as the specification's generator makes them, with the columns that are read. Lineitem also has its order's customer.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, RecordBatchIterator, RegionArrow, SupplierArrow};

/// Files in the folder, with `.parquet`.
pub(super) const TABLES: [&str; 7] = ["customer", "lineitem", "nation", "orders", "part", "region", "supplier"];

const LINEITEM: [&str; 12] = [
    "l_orderkey",
    "l_partkey",
    "l_suppkey",
    "l_quantity",
    "l_extendedprice",
    "l_discount",
    "l_tax",
    "l_returnflag",
    "l_linestatus",
    "l_shipdate",
    "l_shipinstruct",
    "l_shipmode",
];

/// Writes all tables. Returns the rows of lineitem.
pub(super) fn write(folder: &Path, scale: u32) -> anyhow::Result<u64> {
    let factor = f64::from(scale);
    let small = |name: &str, columns: &[&str], batches: &mut dyn RecordBatchIterator| -> anyhow::Result<()> {
        let mut file = Table::create(folder, name, batches.schema(), columns, false)?;
        for batch in batches {
            file.write(&batch, None)?;
        }
        file.writer.close()?;
        Ok(())
    };
    small("nation", &["n_nationkey", "n_name", "n_regionkey"], &mut NationArrow::new(NationGenerator::new(factor, 1, 1)))?;
    small("region", &["r_regionkey", "r_name"], &mut RegionArrow::new(RegionGenerator::new(factor, 1, 1)))?;
    small("supplier", &["s_suppkey", "s_nationkey"], &mut SupplierArrow::new(SupplierGenerator::new(factor, 1, 1)))?;
    small("customer", &["c_custkey", "c_nationkey"], &mut CustomerArrow::new(CustomerGenerator::new(factor, 1, 1)))?;
    let part = &["p_partkey", "p_brand", "p_type", "p_size", "p_container"];
    small("part", part, &mut PartArrow::new(PartGenerator::new(factor, 1, 1)))?;

    // Orders and lines come in the same order.
    let (mut orders, mut lines) =
        (OrderArrow::new(OrderGenerator::new(factor, 1, 1)), LineItemArrow::new(LineItemGenerator::new(factor, 1, 1)));
    let mut orders_file = Table::create(folder, "orders", orders.schema(), &["o_orderkey", "o_custkey", "o_orderdate"], false)?;
    let mut lines_file = Table::create(folder, "lineitem", lines.schema(), &LINEITEM, true)?;
    let mut known: std::collections::VecDeque<(i64, i64)> = std::collections::VecDeque::new();
    let mut rows = 0;
    for batch in &mut lines {
        let of_orders = batch.column(0).as_primitive::<Int64Type>();
        let last = of_orders.values().last().copied().unwrap_or(0);
        while known.back().is_none_or(|(order, _)| *order < last) {
            let more = orders.next().context("a line without an order")?;
            let (keys, customers) = (more.column(0).as_primitive::<Int64Type>(), more.column(1).as_primitive::<Int64Type>());
            known.extend(keys.values().iter().copied().zip(customers.values().iter().copied()));
            orders_file.write(&more, None)?;
        }
        let mut customers = Vec::with_capacity(batch.num_rows());
        for line in of_orders.values() {
            while known.front().is_some_and(|(order, _)| order < line) {
                known.pop_front();
            }
            let (order, customer) = known.front().context("a line without an order")?;
            ensure!(order == line, "orders and lines are not in the same order");
            customers.push(*customer);
        }
        rows += batch.num_rows() as u64;
        lines_file.write(&batch, Some(Arc::new(Int64Array::from(customers))))?;
    }
    for more in orders {
        orders_file.write(&more, None)?;
    }
    orders_file.writer.close()?;
    lines_file.writer.close()?;
    Ok(rows)
}

/// A file with some of a table's columns, and perhaps the customer's key as the last one.
struct Table {
    places: Vec<usize>,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
}

impl Table {
    fn create(folder: &Path, name: &str, of: &Schema, columns: &[&str], with_customer: bool) -> anyhow::Result<Self> {
        let places = columns.iter().map(|column| of.index_of(column)).collect::<Result<Vec<_>, _>>()?;
        let mut fields: Vec<Field> = places.iter().map(|place| of.field(*place).clone()).collect();
        if with_customer {
            fields.push(Field::new("l_custkey", DataType::Int64, false));
        }
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = File::create(folder.join(format!("{name}.parquet")))?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        Ok(Self { places, schema, writer })
    }

    fn write(&mut self, batch: &RecordBatch, customer: Option<ArrayRef>) -> anyhow::Result<()> {
        let columns = self.places.iter().map(|place| Arc::clone(batch.column(*place))).chain(customer).collect();
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        Ok(())
    }
}
