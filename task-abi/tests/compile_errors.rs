//! What the attributes refuse, they refuse at the author's token, saying what to write instead.

#[test]
fn mistakes_are_compile_errors_that_say_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
