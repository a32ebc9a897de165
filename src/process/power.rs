//! A function of the mathematical library, so that the program does not need that.

/// What the linker puts in the place of `pow`; see `build.rs`.
// SAFETY: it has the types of `pow`, and no other crate makes a symbol of this name.
#[unsafe(no_mangle)]
extern "C" fn __wrap_pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// Keeps the function: the linker asks for it when it is too late to look for it.
#[used]
static KEPT: extern "C" fn(f64, f64) -> f64 = __wrap_pow;

#[cfg(test)]
mod tests {
    #[test]
    fn powers_are_those_of_the_system() {
        for (base, exponent) in [
            (0.1, 0.25),
            (2.0, 10.0),
            (10.0, -3.5),
            (0.0, 0.0),
            (-8.0, 3.0),
        ] {
            let [ours, its]: [f64; 2] = [super::__wrap_pow(base, exponent), base.powf(exponent)];
            assert!(
                (ours - its).abs() <= f64::EPSILON * its.abs(),
                "{base}^{exponent}: {ours}, {its}"
            );
        }
    }
}
