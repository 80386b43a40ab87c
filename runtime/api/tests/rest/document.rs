//! The OpenAPI document.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::house::House;

#[tokio::test]
async fn every_operation_is_whole() {
    let house = House::open().await;
    let document = house.get("", "/v1/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let mut names = BTreeSet::new();
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            count += 1;
            let whole = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{whole}: its operationId stands twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{whole} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{whole} never succeeds");
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{whole} {status}");
            }
            let is_open = path.starts_with("/v1/errors") || path == "/v1/openapi.json";
            assert!(responses.contains_key("400"), "{whole}");
            assert_eq!(responses.contains_key("401"), !is_open, "{whole}");
            assert_eq!(operation["security"].is_array(), !is_open, "{whole}");
            assert_eq!(operation["requestBody"].is_object(), responses.contains_key("413"), "{whole}");
            let mut parameters = BTreeSet::new();
            for parameter in operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default() {
                assert!(parameters.insert((parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap())));
            }
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                assert!(parameters.remove(&("path", part)), "{whole}: {part} is not described");
            }
            assert!(parameters.iter().all(|(place, _)| *place != "path"), "{whole}: too many of {parameters:?}");
            assert_eq!(parameters.contains(&("header", "Idempotency-Key")), method == "post", "{whole}");
        }
    }
    assert_eq!(count, 68, "an operation came or went: say so here");
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let house = House::open().await;
    let document = house.get("", "/v1/openapi.json").await.expect(200);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// What a list really answers has the fields that the document says it has, and no others.
#[tokio::test]
async fn answers_are_what_their_schemas_say() {
    let house = House::open().await;
    house.call(house.a.tenant, callbox_model::CallStatus::Completed);
    house.application(&house.a.key, "ivr").await;
    house.domain(house.a.tenant, "example.org").await;
    let body = serde_json::json!({ "domain": "example.org", "name": "anna" });
    let user = house.post(&house.a.key, "/v1/users", &body).await.expect(201);
    house.registration(&user, "sip:anna@192.0.2.1");
    house.trunk(&house.a.key, "carrier").await;
    house.upload(&house.a.key, "/v1/modules?name=ivr", "application/wasm", crate::house::WASM).await.expect(201);
    let document = house.get("", "/v1/openapi.json").await.expect(200);
    for path in [
        "applications",
        "modules",
        "calls",
        "events",
        "usage",
        "limits",
        "tenants",
        "keys",
        "errors",
        "domains",
        "users",
        "trunks",
    ] {
        let answer = house.get(&house.operator, &format!("/v1/{path}")).await.expect(200);
        let operation = &document["paths"][format!("/v1/{path}")]["get"];
        let list = resolve(&document, &operation["responses"]["200"]["content"]["application/json"]["schema"]);
        let item = resolve(&document, &list["properties"]["items"]["items"]);
        let said: BTreeSet<_> = item["properties"].as_object().unwrap().keys().collect();
        let given: BTreeSet<_> = answer["items"][0].as_object().unwrap().keys().collect();
        assert_eq!(said, given, "{path}");
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(reference) if name == "$ref" => found.push(reference.to_owned()),
                    _ => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
