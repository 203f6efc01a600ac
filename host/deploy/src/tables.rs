//! Silver and Gold as tables of Glue's catalog, and a workgroup of Athena to query them.
//!
//! Does not declare Gold's Parquet files: for Athena a table is a folder, and each of those is one object. Athena reads the Delta tables and
//! their columns from their logs; the columns declared here are for people and other engines.

use seams::plugin::{ColumnType, Field, ScalarType};
use serde_json::{Value, json};

use super::places::identifier;
use super::resources::Resources;
use super::{Columns, Deployment, keys};

/// Where Athena puts its results, in Gold's bucket.
pub(super) const RESULTS: &str = "_athena/";
/// The most bytes that a query may read: 100 GiB, half a dollar.
const MOST_SCANNED: u64 = 100 << 30;

pub(super) fn resources(deployment: &Deployment<'_>, columns: &Columns) -> Resources {
    let site = &deployment.site;
    let mut resources = vec![
        ("Database".to_owned(), database(deployment)),
        ("Workgroup".to_owned(), workgroup(deployment)),
        ("SilverTable".to_owned(), {
            let mut all = glue_columns(&columns.silver);
            if !all.is_empty() {
                let own = [("_key", "string"), ("_ord", "string"), ("_seq", "timestamp"), ("_source", "string")];
                let own = own.into_iter().chain([("_plugin", "string"), ("_bucket", "int")]);
                all.extend(own.map(|(name, ty)| json!({ "Name": name, "Type": ty })));
            }
            table("silver", &site.silver.url(""), all)
        }),
    ];
    for aggregate in &deployment.plan.aggregates {
        let fields = columns.gold.get(&aggregate.name).map(Vec::as_slice).unwrap_or_default();
        let place = site.gold.url(&format!("{}/", aggregate.name));
        resources.push((gold_id(&aggregate.name), table(&identifier(&aggregate.name), &place, glue_columns(fields))));
    }
    resources
}

/// The resource of a Gold table.
pub(super) fn gold_id(name: &str) -> String {
    format!("GoldTable{}", resource_part(name))
}

/// A name as part of a resource's: letters and digits, distinct for distinct names.
pub(super) fn resource_part(name: &str) -> String {
    let part = |letter: char| match letter {
        '-' => "0d".to_owned(),
        '_' => "0u".to_owned(),
        '0' => "00".to_owned(),
        letter => letter.to_string(),
    };
    super::access::capital(&name.chars().map(part).collect::<String>())
}

fn database(deployment: &Deployment<'_>) -> Value {
    let text = format!("Tables of the pipeline {}", deployment.plan.name);
    json!({ "Type": "AWS::Glue::Database", "Properties": {
        "CatalogId": { "Ref": "AWS::AccountId" },
        "DatabaseInput": { "Name": deployment.site.database(), "Description": text },
    } })
}

fn workgroup(deployment: &Deployment<'_>) -> Value {
    let site = &deployment.site;
    let results = format!("s3://{}/{RESULTS}{}/", site.gold.bucket, site.name);
    json!({ "Type": "AWS::Athena::WorkGroup", "Properties": {
        "Name": site.name,
        "Description": format!("Queries of the pipeline {}", deployment.plan.name),
        "RecursiveDeleteOption": true,
        "WorkGroupConfiguration": {
            "EnforceWorkGroupConfiguration": true,
            "EngineVersion": { "SelectedEngineVersion": "Athena engine version 3" },
            "BytesScannedCutoffPerQuery": MOST_SCANNED,
            "ResultConfiguration": {
                "OutputLocation": results,
                "EncryptionConfiguration": keys::of_answers(),
            },
        },
    } })
}

fn table(name: &str, place: &str, mut columns: Vec<Value>) -> Value {
    if columns.is_empty() {
        // The column that Spark writes for a table whose columns are in its log.
        columns.push(json!({ "Name": "col", "Type": "array<string>" }));
    }
    json!({ "Type": "AWS::Glue::Table", "Properties": {
        "CatalogId": { "Ref": "AWS::AccountId" },
        "DatabaseName": { "Ref": "Database" },
        "TableInput": {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": { "EXTERNAL": "TRUE", "table_type": "DELTA", "spark.sql.sources.provider": "delta" },
            "StorageDescriptor": { "Location": place, "Columns": columns },
        },
    } })
}

fn glue_columns(fields: &[Field]) -> Vec<Value> {
    let ty = |field: &Field| match field.ty {
        ColumnType::Scalar(scalar) => glue_type(scalar).to_owned(),
        ColumnType::List(scalar) => format!("array<{}>", glue_type(scalar)),
    };
    fields.iter().map(|field| json!({ "Name": field.name.to_lowercase(), "Type": ty(field) })).collect()
}

fn glue_type(scalar: ScalarType) -> &'static str {
    match scalar {
        ScalarType::Boolean => "boolean",
        ScalarType::Int64 => "bigint",
        ScalarType::Float64 => "double",
        ScalarType::Utf8 | ScalarType::Json => "string",
        ScalarType::Date32 => "date",
        ScalarType::Timestamp => "timestamp",
    }
}
