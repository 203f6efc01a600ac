//! What the derives refuse, they refuse by the field's name, with what could stand there instead.
//!
//! The expected messages are in `ui/`, beside each case; `TRYBUILD=overwrite` writes them again.

#[test]
fn refusals_name_the_field() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/accepted.rs");
    cases.compile_fail("tests/ui/refused_*.rs");
}
