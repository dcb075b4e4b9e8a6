//! Any text as a bare value: whichever type it is taken for, its canonical form is its own canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::ObservableType;
use model::canonical::canonical;

fuzz_target!(|text: &str| {
    let _ = model::detect::detect(text);
    for kind in ObservableType::ALL {
        if let Ok(value) = canonical(*kind, text) {
            assert_eq!(canonical(*kind, &value).as_deref().ok(), Some(value.as_str()), "{kind}");
        }
    }
});
