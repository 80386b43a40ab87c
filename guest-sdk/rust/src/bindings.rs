//! What `wit-bindgen` makes of the contract in `wit/`, for whatever the skin leaves out.

wit_bindgen::generate!({
    path: "../../wit",
    world: "call-handler",
    pub_export_macro: true,
    default_bindings_module: "callbox::bindings",
});
