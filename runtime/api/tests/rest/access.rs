//! Keys and roles, tenants.

use callbox_api::backend::Role;
use callbox_model::{KeyId, TenantId};
use reqwest::Method;
use serde_json::json;

use crate::house::{House, key, send};

#[tokio::test]
async fn no_key_and_every_wrong_key_get_the_same_answer() {
    let house = House::open().await;
    let good = &house.a.key;
    let mut other_secret = good.clone();
    let last = if good.ends_with('0') { '1' } else { '0' };
    other_secret.replace_range(good.len() - 1.., &last.to_string());
    let unknown = format!("cbx_{}{}", &KeyId::from_u128(5).to_string()[4..], &good[30..]);
    let mut details = Vec::new();
    for wrong in ["", "cbx_", "nonsense", &other_secret, &unknown, &good.to_uppercase(), &format!("{good}0")] {
        let answer = house.get(wrong, "/v1/calls").await;
        answer.refused(401, "unauthorized");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        details.push(answer.body["detail"].as_str().unwrap().to_owned());
    }
    send(house.client.get(house.url("/v1/calls"))).await.refused(401, "unauthorized");
    send(house.client.get(house.url("/v1/calls")).header("authorization", format!("Basic {good}")))
        .await
        .refused(401, "unauthorized");
    details.dedup();
    assert_eq!(details.len(), 1);
    send(house.client.get(house.url("/v1/calls")).header("authorization", format!("bearer {good}"))).await.expect(200);
}

/// Role by route: 403 for a tenant exactly where only operators may go, and 401 without a key
/// everywhere but where all may.
#[tokio::test]
async fn each_route_opens_to_its_roles_and_no_others() {
    let house = House::open().await;
    let document = house.get("", "/v1/openapi.json").await.expect(200);
    let open = ["/v1/openapi.json", "/v1/errors", "/v1/errors/{code}"];
    let operators = [
        ("get", "/v1/tenants"),
        ("post", "/v1/tenants"),
        ("patch", "/v1/tenants/{id}"),
        ("get", "/v1/tenants/{id}/keys"),
        ("post", "/v1/tenants/{id}/keys"),
        ("delete", "/v1/tenants/{id}/keys/{key}"),
        ("get", "/v1/keys"),
        ("post", "/v1/keys"),
        ("delete", "/v1/keys/{id}"),
        ("post", "/v1/numbers"),
        ("delete", "/v1/numbers/{id}"),
        ("post", "/v1/domains"),
        ("patch", "/v1/domains/{id}"),
        ("delete", "/v1/domains/{id}"),
        ("get", "/v1/node"),
    ];
    let mut operators_seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let url = path.replace("{id}", "x").replace("{key}", "x").replace("{name}", "x").replace("{code}", "x");
            let asked = |key: &str| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                send(house.request(key, method, &url))
            };
            if path == "/v1/events/stream" {
                house.get("", path).await.refused(401, "unauthorized");
                continue;
            }
            let nobody = asked("").await;
            let tenant = asked(&house.a.key).await;
            let operator = asked(&house.operator).await;
            let is_open = open.contains(&path.as_str());
            assert_eq!(nobody.status == 401, !is_open, "{method} {path}");
            let is_operators = operators.contains(&(method.as_str(), path.as_str()));
            operators_seen += u32::from(is_operators);
            if is_operators {
                tenant.refused(403, "operator-only");
            } else {
                assert_ne!(tenant.status, 403, "{method} {path}");
                assert_ne!(tenant.status, 401, "{method} {path}");
            }
            assert!(![401, 403, 500].contains(&operator.status.as_u16()), "{method} {path}: {}", operator.status);
        }
    }
    assert_eq!(operators_seen as usize, operators.len());
}

#[tokio::test]
async fn an_operator_makes_a_tenant_and_its_key() {
    let house = House::open().await;
    let made = house.post(&house.operator, "/v1/tenants", &json!({ "name": "Clara & Co" })).await;
    let location = made.headers["location"].to_str().unwrap().to_owned();
    let tenant = made.expect(201);
    assert_eq!(tenant["state"], "active");
    assert_eq!(location, format!("/v1/tenants/{}", tenant["id"].as_str().unwrap()));
    assert!(tenant["created"].as_str().unwrap().ends_with('Z'));

    let keys = format!("{location}/keys");
    let made = house.post(&house.operator, &keys, &json!({ "name": "ci" })).await;
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.expect(201);
    let key = made["key"].as_str().unwrap();
    assert_eq!(made["tenant"], tenant["id"]);
    house.get(key, &location).await.expect(200);
    house.post(key, "/v1/applications", &json!({ "name": "ivr" })).await.expect(201);

    let listed = house.get(&house.operator, &keys).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains(key), "a key is shown once");

    let one = format!("{keys}/{}", made["id"].as_str().unwrap());
    house
        .delete(&house.operator, &format!("/v1/keys/{}", made["id"].as_str().unwrap()))
        .await
        .refused(404, "not-found");
    assert!(house.delete(&house.operator, &one).await.expect(204).is_null());
    house.get(key, &location).await.refused(401, "unauthorized");
    house.delete(&house.operator, &one).await.refused(404, "not-found");
}

#[tokio::test]
async fn tenants_are_listed_in_pieces_found_by_name_and_renamed() {
    let house = House::open().await;
    for name in ["c", "d", "e"] {
        house.post(&house.operator, "/v1/tenants", &json!({ "name": name })).await.expect(201);
    }
    house.post(&house.operator, "/v1/tenants", &json!({ "name": "c" })).await.refused(409, "name-taken");
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let piece = house.get(&house.operator, &format!("/v1/tenants?limit=2{after}")).await.expect(200);
        let items = piece["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|tenant| tenant["name"].as_str().unwrap().to_owned()));
        let Some(next) = piece["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(names, ["anna", "bert", "c", "d", "e"]);
    let found = house.get(&house.operator, "/v1/tenants?name=bert").await.expect(200);
    assert_eq!(found["items"][0]["id"], house.b.tenant.to_string());
    assert_eq!(found["items"].as_array().unwrap().len(), 1);

    let path = format!("/v1/tenants/{}", house.b.tenant);
    let changed = house.patch(&house.operator, &path, &json!({ "name": "Berta" })).await.expect(200);
    assert_eq!((&changed["name"], &changed["state"]), (&json!("Berta"), &json!("active")));
    house.patch(&house.operator, &path, &json!({ "name": "" })).await.refused(422, "invalid");
    let unknown = format!("/v1/tenants/{}", TenantId::from_u128(3));
    house.patch(&house.operator, &unknown, &json!({ "name": "x" })).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_suspended_tenant_looks_and_changes_nothing() {
    let house = House::open().await;
    let path = format!("/v1/tenants/{}", house.a.tenant);
    house.patch(&house.operator, &path, &json!({ "state": "suspended" })).await.expect(200);
    house.get(&house.a.key, "/v1/applications").await.expect(200);
    let make = json!({ "name": "ivr" });
    house.post(&house.a.key, "/v1/applications", &make).await.refused(403, "tenant-suspended");
    house.post(&house.b.key, "/v1/applications", &make).await.expect(201);
    let within = format!("/v1/applications?tenant={}", house.a.tenant);
    house.post(&house.operator, &within, &make).await.expect(201);
    house.patch(&house.operator, &path, &json!({ "state": "active" })).await.expect(200);
    house.post(&house.a.key, "/v1/applications", &json!({ "name": "menu" })).await.expect(201);
}

#[tokio::test]
async fn an_operators_key_is_no_key_to_delete_itself_with() {
    let house = House::open().await;
    let second = house.post(&house.operator, "/v1/keys", &json!({ "name": "second" })).await.expect(201);
    let (id, second) = (second["id"].as_str().unwrap(), second["key"].as_str().unwrap());
    house.delete(second, &format!("/v1/keys/{id}")).await.refused(409, "own-key");
    assert_eq!(house.get(second, "/v1/keys").await.expect(200)["items"].as_array().unwrap().len(), 2);
    house.delete(&house.operator, &format!("/v1/keys/{id}")).await.expect(204);
    house.get(second, "/v1/keys").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn an_operator_acts_within_the_tenant_it_names() {
    let house = House::open().await;
    let make = json!({ "name": "ivr" });
    house.post(&house.operator, "/v1/applications", &make).await.refused(400, "tenant-needed");
    let unknown = format!("/v1/applications?tenant={}", TenantId::from_u128(3));
    house.post(&house.operator, &unknown, &make).await.refused(404, "not-found");
    house.get(&house.operator, &unknown).await.refused(404, "not-found");
    house.get(&house.operator, "/v1/applications?tenant=x").await.refused(400, "bad-query");
    for guest in [&house.a, &house.b] {
        let path = format!("/v1/applications?tenant={}", guest.tenant);
        let made = house.post(&house.operator, &path, &make).await.expect(201);
        assert_eq!(made["tenant"], guest.tenant.to_string());
        let listed = house.get(&house.operator, &path).await.expect(200);
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        house.get(&guest.key, &path).await.expect(200);
    }
    let all = house.get(&house.operator, "/v1/applications?name=ivr").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let within_b = format!("/v1/applications?tenant={}", house.b.tenant);
    house.get(&house.a.key, &within_b).await.refused(404, "not-found");
    house.post(&house.a.key, &within_b, &make).await.refused(404, "not-found");
    let twice = format!("{within_b}&tenant={}", house.a.tenant);
    house.get(&house.operator, &twice).await.refused(400, "bad-query");
}

#[tokio::test]
async fn keys_of_a_deleted_record_open_nothing_at_once() {
    let house = House::open().await;
    let extra = key(&house.memory, Role::Tenant(house.a.tenant)).await;
    house.get(&extra, "/v1/calls").await.expect(200);
    let keys = format!("/v1/tenants/{}/keys", house.a.tenant);
    let listed = house.get(&house.operator, &keys).await.expect(200);
    let id = listed["items"][1]["id"].as_str().unwrap();
    house.delete(&house.operator, &format!("/v1/tenants/{}/keys/{id}", house.b.tenant)).await.refused(404, "not-found");
    house.delete(&house.operator, &format!("{keys}/{id}")).await.expect(204);
    house.get(&extra, "/v1/calls").await.refused(401, "unauthorized");
}
