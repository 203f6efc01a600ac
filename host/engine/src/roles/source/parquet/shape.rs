//! What JSON a column of Parquet becomes: found out once a file, from its Arrow type and from what Parquet itself says of its leaves.
//!
//! Does not write values: `cell` does. A type that has no JSON is named with its column and with what to do.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use parquet::basic::{LogicalType, Type as Physical};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

/// How the values of a column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value without parts; its Arrow type tells which.
    Scalar,
    /// Sixteen bytes that are a UUID.
    Uuid,
    /// A list.
    List(Box<Shape>),
    /// An object whose names are values.
    Map(Box<Shape>),
    /// An object: the name of each member as JSON text, and its shape.
    Struct(Vec<(String, Shape)>),
}

/// A column of the file.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) shape: Shape,
}

/// A file's columns, and the schema to read it by.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    pub(super) schema: Schema,
    /// Where timestamps stand that name no zone.
    pub(super) without_zone: Vec<String>,
}

/// A column whose type has no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// What is wrong, with the column.
    pub(super) reason: String,
    /// What to do.
    pub(super) hint: String,
}

impl Columns {
    pub(super) fn of(arrow: &Schema, parquet: &SchemaDescriptor) -> Result<Self, Unfit> {
        let mut walk = Walk { leaves: parquet.columns().iter(), without_zone: Vec::new() };
        let (mut all, mut fields) = (Vec::new(), Vec::new());
        for field in arrow.fields() {
            if all.iter().any(|column: &Column| column.name == *field.name()) {
                return Err(Unfit {
                    reason: format!("column `{}` stands twice in the schema", field.name()),
                    hint: "give each column a name of its own when the file is written".to_owned(),
                });
            }
            let (shape, field) = walk.field(field, field.name())?;
            all.push(Column { name: field.name().clone(), shape });
            fields.push(field);
        }
        let schema = Schema::new_with_metadata(Fields::from(fields), arrow.metadata().clone());
        Ok(Columns { all, schema, without_zone: walk.without_zone })
    }
}

/// The leaves of the file in the order in which its types name them.
struct Walk<'a> {
    leaves: std::slice::Iter<'a, ColumnDescPtr>,
    without_zone: Vec<String>,
}

impl Walk<'_> {
    fn field(&mut self, field: &FieldRef, path: &str) -> Result<(Shape, FieldRef), Unfit> {
        let (shape, ty) = self.shape(field.data_type(), path)?;
        let field =
            if ty == *field.data_type() { field.clone() } else { Field::clone(field).with_data_type(ty).into() };
        Ok((shape, field))
    }

    fn shape(&mut self, ty: &DataType, path: &str) -> Result<(Shape, DataType), Unfit> {
        let list = |shape| Shape::List(Box::new(shape));
        Ok(match ty {
            DataType::List(item) => self.field(item, path).map(|(shape, item)| (list(shape), DataType::List(item)))?,
            DataType::LargeList(item) => {
                self.field(item, path).map(|(shape, item)| (list(shape), DataType::LargeList(item)))?
            }
            DataType::FixedSizeList(item, length) => {
                self.field(item, path).map(|(shape, item)| (list(shape), DataType::FixedSizeList(item, *length)))?
            }
            DataType::Struct(fields) => self.members(fields, path)?,
            DataType::Map(entries, sorted) => self.map(entries, *sorted, path)?,
            // The reader looks the values up; here they would have to be looked up by each type of key.
            DataType::Dictionary(_, values) => self.shape(values, path)?,
            scalar => self.leaf(scalar, path)?,
        })
    }

    fn members(&mut self, fields: &Fields, path: &str) -> Result<(Shape, DataType), Unfit> {
        let (mut members, mut read) = (Vec::new(), Vec::new());
        for field in fields {
            let (shape, field) = self.field(field, &format!("{path}.{}", field.name()))?;
            members.push((serde_json::Value::from(field.name().as_str()).to_string(), shape));
            read.push(field);
        }
        Ok((Shape::Struct(members), DataType::Struct(read.into())))
    }

    fn map(&mut self, entries: &FieldRef, sorted: bool, path: &str) -> Result<(Shape, DataType), Unfit> {
        let DataType::Struct(fields) = entries.data_type() else { return Err(no_json(path, entries.data_type())) };
        let [keys, values] = fields.as_ref() else { return Err(no_json(path, entries.data_type())) };
        let text = match keys.data_type() {
            DataType::Dictionary(_, values) => values,
            other => other,
        };
        if !matches!(text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Err(Unfit {
                reason: format!(
                    "column `{path}` is a map whose keys are {}; expected keys of text: those are what a JSON object has",
                    keys.data_type()
                ),
                hint: "make text of the keys when the file is written, or write the map as a list of structs with the members `key` \
                       and `value`"
                    .to_owned(),
            });
        }
        let (_, keys) = self.field(keys, path)?;
        let (shape, values) = self.field(values, path)?;
        let entries = Field::clone(entries).with_data_type(DataType::Struct(vec![keys, values].into()));
        Ok((Shape::Map(Box::new(shape)), DataType::Map(entries.into(), sorted)))
    }

    fn leaf(&mut self, ty: &DataType, path: &str) -> Result<(Shape, DataType), Unfit> {
        let leaf = self.leaves.next();
        let scalar = |ty: &DataType| Ok((Shape::Scalar, ty.clone()));
        match ty {
            DataType::Timestamp(unit, zone) => {
                if zone.is_none() {
                    self.without_zone.push(path.to_owned());
                }
                // INT96 counts nanoseconds of a day, and days: as nanoseconds since 1970 it holds no year outside of 1677 to 2262, and any
                // other year becomes a wrong one.
                let is_int96 = leaf.is_some_and(|leaf| leaf.physical_type() == Physical::INT96);
                let unit = if is_int96 { TimeUnit::Microsecond } else { *unit };
                scalar(&DataType::Timestamp(unit, zone.clone()))
            }
            DataType::FixedSizeBinary(16)
                if leaf.is_some_and(|leaf| matches!(leaf.logical_type_ref(), Some(LogicalType::Uuid))) =>
            {
                Ok((Shape::Uuid, ty.clone()))
            }
            DataType::Union(..)
            | DataType::RunEndEncoded(..)
            | DataType::Interval(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_) => Err(no_json(path, ty)),
            other => scalar(other),
        }
    }
}

fn no_json(path: &str, ty: &DataType) -> Unfit {
    Unfit {
        reason: format!("column `{path}` is of the type {ty}, which has no JSON"),
        hint: "leave the column out, or make text of it, when the file is written".to_owned(),
    }
}
