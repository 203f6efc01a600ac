//! Which types a row may be made of, and how a value of each goes into its column.
//!
//! Not here: the columns under construction (`build`).

use super::build::{BoolBuilder, Fixed, FixedBuilder, ListBuilder, NullableBuilder, TextBuilder};
use super::output::{ColumnBuilder, OutputScalar, OutputValue};
use super::{ColumnType, InputScalar, List, ScalarType, Values};
use crate::{Date, Json, JsonRef, Timestamp};

macro_rules! scalar {
    ($type:ty, $scalar:ident, $builder:ty, |$value:ident, $column:ident| $push:expr) => {
        impl OutputValue for $type {
            const TYPE: ColumnType = ColumnType::Scalar(ScalarType::$scalar);
            const NULLABLE: bool = false;
            type Builder = $builder;

            #[inline(always)]
            fn put(self, $column: &mut Self::Builder) {
                let $value = self;
                $push;
            }
        }

        impl OutputScalar for $type {
            const SCALAR: ScalarType = ScalarType::$scalar;
        }
    };
}

macro_rules! fixed {
    ($type:ty, $scalar:ident, $stored:ty, |$value:ident| $store:expr) => {
        impl Fixed for $type {
            type Stored = $stored;

            fn column(values: Vec<$stored>) -> Values {
                Values::$scalar(values)
            }
        }

        scalar!($type, $scalar, FixedBuilder<$type>, |$value, column| column.0.push($store));
    };
}

fixed!(i64, Int64, i64, |number| number);
fixed!(f64, Float64, f64, |number| number);
fixed!(Date, Date32, i32, |date| date.days());
fixed!(Timestamp, Timestamp, i64, |time| time.micros());
scalar!(bool, Boolean, BoolBuilder, |value, column| column.0.push(value));
scalar!(&str, Utf8, TextBuilder<false>, |text, column| column.push(text));
scalar!(String, Utf8, TextBuilder<false>, |text, column| column.push(&text));
scalar!(JsonRef<'_>, Json, TextBuilder<true>, |json, column| column.push(json.as_str()));
scalar!(Json, Json, TextBuilder<true>, |json, column| column.push(json.as_str()));

impl<T: OutputValue> OutputValue for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    type Builder = NullableBuilder<T::Builder>;

    #[inline(always)]
    fn put(self, builder: &mut Self::Builder) {
        match self {
            Some(value) => builder.push(value),
            None => builder.push_absent(),
        }
    }
}

impl<T: OutputScalar> OutputValue for Vec<T> {
    const TYPE: ColumnType = ColumnType::ListOf(T::SCALAR);
    const NULLABLE: bool = false;
    type Builder = ListBuilder<T::Builder>;

    fn put(self, builder: &mut Self::Builder) {
        builder.push(self.into_iter());
    }
}

impl<'b, T: OutputScalar + InputScalar<'b>> OutputValue for List<'b, T> {
    const TYPE: ColumnType = ColumnType::ListOf(<T as OutputScalar>::SCALAR);
    const NULLABLE: bool = false;
    type Builder = ListBuilder<T::Builder>;

    fn put(self, builder: &mut Self::Builder) {
        builder.push(self.iter());
    }
}
