//! `#[callbox::handler]`. Read about it in the crate `callbox`.

use proc_macro::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};

/// Makes a function of `fn(Call) -> callbox::Result<()>` the module's handler.
///
/// There is one in a module. What it returns is what the module ends with: `Ok` and an error of
/// `ended` are good ends, and any other error gives the call to the application's next handler.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(argument) = arguments.into_iter().next() {
        return refuse(argument.span(), "`#[callbox::handler]` takes no arguments");
    }
    let name = match name_of(&item) {
        Ok(name) => name,
        Err((span, why)) => return refuse(span, why),
    };
    let export: TokenStream = EXPORT.parse().expect("the text below is Rust");
    item.into_iter().chain(in_place(export, &name)).collect()
}

fn name_of(item: &TokenStream) -> Result<Ident, (Span, &'static str)> {
    let mut tokens = item.clone().into_iter();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(word) = token else { continue };
        match word.to_string().as_str() {
            "async" => return Err((word.span(), "a handler is no `async fn`: its steps wait by themselves")),
            "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.next() {
                    return Ok(name);
                }
            }
            _ => {}
        }
    }
    Err((Span::call_site(), "`#[callbox::handler]` stands on a function"))
}

/// `tokens` with the handler's name, span and all, where `HANDLER` stands: so the compiler points at
/// the handler when its type does not fit.
fn in_place(tokens: TokenStream, name: &Ident) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(word) if word.to_string() == "HANDLER" => TokenTree::Ident(name.clone()),
            TokenTree::Group(group) => TokenTree::Group(Group::new(group.delimiter(), in_place(group.stream(), name))),
            other => other,
        })
        .collect()
}

fn refuse(span: Span, why: &str) -> TokenStream {
    let mut text = proc_macro::Literal::string(why);
    text.set_span(span);
    let mut tokens = vec![
        TokenTree::Ident(Ident::new("compile_error", span)),
        TokenTree::Punct(proc_macro::Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Brace, TokenTree::Literal(text).into())),
    ];
    tokens.iter_mut().for_each(|token| token.set_span(span));
    tokens.into_iter().collect()
}

const EXPORT: &str = "
const _: () = {
    struct Handler;
    impl ::callbox::bindings::Guest for Handler {
        fn handle(info: ::callbox::CallInfo) -> ::callbox::Result<()> {
            ::callbox::run(info, HANDLER)
        }
    }
    ::callbox::bindings::export!(Handler with_types_in ::callbox::bindings);
};
";
