//! The codes of problems in a pipeline file: what each one means.
//!
//! A code never changes its meaning and is never reused, so that scripts and notes may rely on it. Does not hold the words of the messages:
//! those stand where the problem is found.

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $meaning])+ pub const $name: &str = $code;)+

        /// Every code with its meaning, in ascending order.
        pub const CODES: &[(&str, &str)] = &[$(($code, concat!($($meaning),+))),+];
    };
}

codes! {
    /// The text is not TOML.
    SYNTAX = "C001";
    /// A key stands twice in one table.
    DUPLICATE_KEY = "C002";
    /// A key or a section that does not exist.
    UNKNOWN_KEY = "C003";
    /// A key or a section that must be there is not.
    MISSING = "C004";
    /// A value of another type than the key takes.
    WRONG_TYPE = "C005";
    /// A number, a duration or a size outside its range.
    OUT_OF_RANGE = "C006";
    /// Text that is no duration, size or rate.
    NO_QUANTITY = "C007";
    /// A word that is none of those which the key takes.
    UNKNOWN_WORD = "C008";
    /// A name with characters that names do not have.
    BAD_NAME = "C010";
    /// The same name twice where names must differ.
    DUPLICATE_NAME = "C011";
    /// Text or a list that must not be empty is.
    EMPTY = "C012";
    /// A cron expression that cannot be read, or that never comes true.
    BAD_CRON = "C020";
    /// A time zone that does not exist.
    BAD_TIMEZONE = "C021";
    /// A place or a URL that cannot be used here.
    BAD_LOCATION = "C030";
    /// Plain `http` to another machine.
    PLAIN_HTTP = "C031";
    /// A URL with credentials, a query or a fragment.
    URL_EXTRAS = "C032";
    /// The name does not tell how the source is written.
    UNKNOWN_FORMAT = "C033";
    /// `order_by` that cannot be read.
    BAD_ORDER = "C034";
    /// A header that the host sets itself, or one that HTTP does not allow.
    BAD_HEADER = "C035";
    /// A setting that has no effect without another one.
    NO_EFFECT = "C036";
    /// Two layers of the lake in one place.
    LAYERS_OVERLAP = "C037";
    /// A secret's place that cannot be read.
    BAD_SECRET = "C040";
    /// A secret that is not declared in `[secrets]`.
    UNDECLARED_SECRET = "C041";
    /// A secret that nothing uses (a warning).
    UNUSED_SECRET = "C042";
    /// A `{…}` that is no placeholder.
    BAD_PLACEHOLDER = "C043";
    /// A credential in plain text (a warning).
    PLAIN_SECRET = "C044";
    /// A secret where plugins could see it.
    SECRET_IN_CONFIG = "C045";
    /// A plugin's place that cannot be read.
    BAD_PLUGIN = "C050";
    /// A digest that is not 64 hexadecimal digits.
    BAD_DIGEST = "C051";
    /// A configuration value that JSON cannot express.
    NO_JSON = "C052";
    /// An endpoint that nothing can call (a warning).
    UNUSED_ENDPOINT = "C053";
    /// A public key that cannot be read.
    BAD_KEY = "C054";
    /// A target that the file does not have.
    UNKNOWN_TARGET = "C060";
    /// A `--set` that cannot be read.
    BAD_SET = "C061";
    /// A place of this machine, or one that AWS does not have, in what is to be deployed there.
    NOT_IN_AWS = "C070";
    /// Something to be deployed that AWS cannot express: a schedule, a name, a size.
    NOT_DEPLOYABLE = "C071";
    /// An endpoint without a rate where AWS starts as many functions as there is work (a warning).
    NO_RATE = "C072";
    /// Messages that cannot all end within the time of the function that is handed them (a warning).
    SLOW_BATCH = "C073";
}
