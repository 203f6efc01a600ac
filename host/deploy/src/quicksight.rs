//! A dashboard of QuickSight over the Gold tables: a source, a set for each table, a sheet with a table and bars for each.
//!
//! Made only if a parameter names a user. Does not give QuickSight its own rights in the account: its administrator does.

use seams::plugin::{ColumnType, Field, ScalarType};
use serde_json::{Value, json};

use super::places::identifier;
use super::resources::Resources;
use super::tables::{gold_id, resource_part};
use super::{Columns, Deployment};

const SOURCE: &[&str] = &[
    "quicksight:DescribeDataSource",
    "quicksight:DescribeDataSourcePermissions",
    "quicksight:PassDataSource",
    "quicksight:UpdateDataSource",
    "quicksight:DeleteDataSource",
    "quicksight:UpdateDataSourcePermissions",
];
const SET: &[&str] = &[
    "quicksight:DescribeDataSet",
    "quicksight:DescribeDataSetPermissions",
    "quicksight:PassDataSet",
    "quicksight:DescribeIngestion",
    "quicksight:ListIngestions",
];
const DASHBOARD: &[&str] =
    &["quicksight:DescribeDashboard", "quicksight:ListDashboardVersions", "quicksight:QueryDashboard"];

/// Whether there are columns to show.
pub(super) fn is_possible(columns: &Columns) -> bool {
    columns.gold.values().any(|fields| shown(fields).next().is_some())
}

pub(super) fn resources(deployment: &Deployment<'_>, columns: &Columns) -> Resources {
    if !is_possible(columns) {
        return Resources::new();
    }
    let names = deployment.plan.aggregates.iter().map(|aggregate| &aggregate.name);
    let tables: Vec<(&String, Vec<&Field>)> =
        names.filter_map(|name| Some((name, shown(columns.gold.get(name)?).collect()))).collect();
    let tables: Vec<_> = tables.into_iter().filter(|(_, fields)| !fields.is_empty()).collect();
    let name = &deployment.site.name;
    let parameters = json!({ "AthenaParameters": { "WorkGroup": { "Ref": "Workgroup" } } });
    let mut source = thing("DataSource", name, SOURCE);
    set(&mut source, "DataSourceId", json!(name));
    set(&mut source, "Type", json!("ATHENA"));
    set(&mut source, "DataSourceParameters", parameters);
    let mut resources = vec![("QuickSightSource".to_owned(), source)];
    resources.extend(tables.iter().map(|(table, fields)| (set_id(table), data_set(deployment, table, fields))));
    let sets = tables
        .iter()
        .map(|(table, _)| json!({ "Identifier": table, "DataSetArn": { "Fn::GetAtt": [set_id(table), "Arn"] } }));
    let sheets = tables.iter().map(|(table, fields)| sheet(table, fields));
    let definition =
        json!({ "DataSetIdentifierDeclarations": sets.collect::<Vec<_>>(), "Sheets": sheets.collect::<Vec<_>>() });
    let mut dashboard = thing("Dashboard", name, DASHBOARD);
    set(&mut dashboard, "DashboardId", json!(name));
    set(&mut dashboard, "Definition", definition);
    resources.push(("QuickSightDashboard".to_owned(), dashboard));
    resources
}

fn set_id(table: &str) -> String {
    format!("QuickSightSet{}", resource_part(table))
}

fn thing(kind: &str, name: &str, may: &[&str]) -> Value {
    json!({ "Type": format!("AWS::QuickSight::{kind}"), "Condition": "HasQuickSightPrincipal", "Properties": {
        "AwsAccountId": { "Ref": "AWS::AccountId" },
        "Name": name,
        "Permissions": [{ "Principal": { "Ref": "QuickSightPrincipal" }, "Actions": may }],
    } })
}

fn set(resource: &mut Value, name: &str, value: Value) {
    if let Some(properties) = resource.pointer_mut("/Properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), value);
    }
}

fn data_set(deployment: &Deployment<'_>, table: &str, fields: &[&Field]) -> Value {
    let columns: Vec<Value> =
        fields.iter().map(|field| json!({ "Name": column(field), "Type": type_of(field) })).collect();
    let mut resource = thing("DataSet", &format!("{}-{table}", deployment.site.name), SET);
    // QuickSight reads the table when the set is made.
    if let Some(fields) = resource.as_object_mut() {
        fields.insert("DependsOn".to_owned(), json!([gold_id(table)]));
    }
    set(&mut resource, "DataSetId", json!(format!("{}-{table}", deployment.site.name)));
    set(&mut resource, "ImportMode", json!("DIRECT_QUERY"));
    let relation = json!({ "RelationalTable": {
        "DataSourceArn": { "Fn::GetAtt": ["QuickSightSource", "Arn"] },
        "Catalog": "AwsDataCatalog",
        "Schema": deployment.site.database(),
        "Name": identifier(table),
        "InputColumns": columns,
    } });
    set(&mut resource, "PhysicalTableMap", json!({ "gold": relation }));
    resource
}

/// The columns that are shown: QuickSight has no lists.
fn shown(fields: &[Field]) -> impl Iterator<Item = &Field> {
    fields.iter().filter(|field| matches!(field.ty, ColumnType::Scalar(_)))
}

fn column(field: &Field) -> String {
    field.name.to_lowercase()
}

fn type_of(field: &Field) -> &'static str {
    match field.ty {
        ColumnType::Scalar(ScalarType::Boolean) => "BOOLEAN",
        ColumnType::Scalar(ScalarType::Int64) => "INTEGER",
        ColumnType::Scalar(ScalarType::Float64) => "DECIMAL",
        ColumnType::Scalar(ScalarType::Date32 | ScalarType::Timestamp) => "DATETIME",
        ColumnType::Scalar(ScalarType::Utf8 | ScalarType::Json) | ColumnType::List(_) => "STRING",
    }
}

/// All rows; and a bar of the first number column for each value of the first column.
fn sheet(table: &str, fields: &[&Field]) -> Value {
    let at = |field: &Field| json!({ "DataSetIdentifier": table, "ColumnName": column(field) });
    let id = |kind: &str, field: &Field| format!("{table}-{kind}-{}", column(field));
    let rows: Vec<Value> =
        fields.iter().map(|field| json!({ "FieldId": id("row", field), "Column": at(field) })).collect();
    let mut visuals = vec![json!({ "TableVisual": {
        "VisualId": format!("{table}-rows"),
        "Title": title(table),
        "ChartConfiguration": { "FieldWells": { "TableUnaggregatedFieldWells": { "Values": rows } } },
    } })];
    let number = |field: &&&Field| matches!(type_of(field), "INTEGER" | "DECIMAL");
    if let (Some(first), Some(value)) = (fields.first(), fields.iter().skip(1).find(number)) {
        let kind = match type_of(first) {
            "INTEGER" | "DECIMAL" => "NumericalDimensionField",
            "DATETIME" => "DateDimensionField",
            _ => "CategoricalDimensionField",
        };
        let category = json!({ kind: { "FieldId": id("bar", first), "Column": at(first) } });
        let sum = json!({ "SimpleNumericalAggregation": "SUM" });
        let value_field = json!({ "FieldId": id("bar", value), "Column": at(value), "AggregationFunction": sum });
        let wells = json!({ "Category": [category], "Values": [{ "NumericalMeasureField": value_field }] });
        visuals.push(json!({ "BarChartVisual": {
            "VisualId": format!("{table}-bars"),
            "Title": title(&format!("{} by {}", column(value), column(first))),
            "ChartConfiguration": { "FieldWells": { "BarChartAggregatedFieldWells": wells } },
        } }));
    }
    json!({ "SheetId": format!("sheet-{table}"), "Name": table, "Visuals": visuals })
}

fn title(text: &str) -> Value {
    json!({ "Visibility": "VISIBLE", "FormatText": { "PlainText": text } })
}
