//! Domains, users, and where users can be reached.

use reqwest::Method;
use serde_json::json;

use crate::house::{House, send};

#[tokio::test]
async fn a_domain_is_given_by_the_operator_and_seen_by_its_tenant() {
    let house = House::open().await;
    let (a, operator) = (&house.a.key, &house.operator);
    let within = format!("/v1/domains?tenant={}", house.a.tenant);
    let made = house.post(operator, &within, &json!({ "name": "Example.ORG", "md5": true })).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let domain = made.expect(201);
    assert_eq!((&domain["name"], &domain["md5"]), (&json!("example.org"), &json!(true)));
    assert_eq!(domain["tenant"], house.a.tenant.to_string());
    assert_eq!(house.get(a, &path).await.expect(200), domain);
    assert_eq!(house.get(a, "/v1/domains?name=EXAMPLE.org").await.expect(200)["items"][0], domain);
    assert_eq!(house.get(a, "/v1/domains?name=example.com").await.expect(200)["items"], json!([]));

    let theirs = format!("/v1/domains?tenant={}", house.b.tenant);
    house.post(operator, &theirs, &json!({ "name": "example.org" })).await.refused(409, "domain-taken");
    house.post(operator, "/v1/domains", &json!({ "name": "x.org" })).await.refused(400, "tenant-needed");
    for bad in ["", "a b", "sip:example.org", "*.example.org", "anna@example.org", "-a.org"] {
        let refused = house.post(operator, &within, &json!({ "name": bad })).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), ["name"], "{bad}");
    }

    house.patch(a, &path, &json!({ "md5": false })).await.refused(403, "operator-only");
    assert_eq!(house.patch(operator, &path, &json!({ "md5": false })).await.expect(200)["md5"], false);
    house.patch(operator, &path, &json!({ "name": "x.org" })).await.refused(422, "invalid");
    house.delete(a, &path).await.refused(403, "operator-only");
    let user = house.post(a, "/v1/users", &json!({ "domain": "example.org", "name": "anna" })).await.expect(201);
    house.delete(operator, &path).await.refused(409, "domain-in-use");
    house.delete(a, &format!("/v1/users/{}", user["id"].as_str().unwrap())).await.expect(204);
    house.delete(operator, &path).await.expect(204);
    house.get(a, &path).await.refused(404, "not-found");
}

#[tokio::test]
async fn domains_and_users_are_listed_in_pieces() {
    let house = House::open().await;
    let a = &house.a.key;
    for name in ["a.org", "b.org", "c.org"] {
        house.domain(house.a.tenant, name).await;
        house.post(a, "/v1/users", &json!({ "domain": name, "name": "anna" })).await.expect(201);
    }
    for list in ["domains", "users"] {
        let piece = house.get(a, &format!("/v1/{list}?limit=2")).await.expect(200);
        assert_eq!(piece["items"].as_array().unwrap().len(), 2, "{list}");
        let after = piece["next"].as_str().unwrap();
        assert_eq!(piece["items"][1]["id"], after);
        let rest = house.get(a, &format!("/v1/{list}?after={after}")).await.expect(200);
        assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &json!(null)), "{list}");
    }
    let of_b = house.get(a, "/v1/users?domain=B.org&name=anna").await.expect(200);
    assert_eq!((of_b["items"].as_array().unwrap().len(), &of_b["items"][0]["domain"]), (1, &json!("b.org")));
    assert_eq!(house.get(a, "/v1/users?name=Anna").await.expect(200)["items"], json!([]));
    house.get(a, "/v1/users?after=dom_1").await.refused(400, "bad-query");
    house.get(a, "/v1/users?realm=x").await.refused(400, "bad-query");
}

#[tokio::test]
async fn a_user_is_made_changed_and_deleted() {
    let house = House::open().await;
    let a = &house.a.key;
    house.domain(house.a.tenant, "example.org").await;
    let body = json!({ "domain": "Example.org", "name": "anna", "display": "Anna B.", "password": "correct horse" });
    let made = house.post(a, "/v1/users", &body).await;
    assert_eq!(made.headers["cache-control"], "no-store");
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let mut made = made.expect(201);
    assert_eq!(made["password"], json!(null), "a password that is known already is not shown");
    made.as_object_mut().unwrap().remove("password");
    assert_eq!(house.get(a, &path).await.expect(200), made);
    assert_eq!((&made["domain"], &made["display"]), (&json!("example.org"), &json!("Anna B.")));
    let kept = |id: &str| house.memory.state().passwords[id].clone();
    let id = made["id"].as_str().unwrap();
    assert_eq!(kept(id), "correct horse");
    house.post(a, "/v1/users", &body).await.refused(409, "name-taken");
    house.post(&house.operator, "/v1/users", &body).await.refused(400, "tenant-needed");

    let changed = house.patch(a, &path, &json!({ "password": "another horse" })).await.expect(200);
    assert_eq!((&changed["password"], &changed["display"]), (&json!(null), &json!("Anna B.")));
    assert_eq!(kept(id), "another horse");
    let changed = house.patch(a, &path, &json!({ "display": null })).await.expect(200);
    assert_eq!(changed["display"], json!(null));
    assert_eq!(kept(id), "another horse");
    house.patch(a, &path, &json!({})).await.expect(200);
    for fixed in ["name", "domain"] {
        let refused = house.patch(a, &path, &json!({ fixed: "x" })).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), [fixed]);
    }
    house.delete(a, &path).await.expect(204);
    house.get(a, &path).await.refused(404, "not-found");
    house.patch(a, &path, &json!({})).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_password_that_is_left_out_is_made_and_shown_once() {
    let house = House::open().await;
    let a = &house.a.key;
    house.domain(house.a.tenant, "example.org").await;
    let body = json!({ "domain": "example.org", "name": "anna" });
    let made = house.post(a, "/v1/users", &body).await.expect(201);
    let (id, first) = (made["id"].as_str().unwrap(), made["password"].as_str().unwrap().to_owned());
    assert_eq!(first.len(), 24);
    assert_eq!(house.memory.state().passwords[id], first);
    let path = format!("/v1/users/{id}");
    assert!(house.get(a, &path).await.expect(200).get("password").is_none());
    let changed = house.patch(a, &path, &json!({ "password": null })).await;
    assert_eq!(changed.headers["cache-control"], "no-store");
    let changed = changed.expect(200);
    let second = changed["password"].as_str().unwrap();
    assert!(second.len() == 24 && second != first);
    assert_eq!(house.memory.state().passwords[id], second);
}

#[tokio::test]
async fn every_wrong_field_of_a_user_is_named() {
    let house = House::open().await;
    house.domain(house.a.tenant, "example.org").await;
    let good = json!({ "domain": "example.org", "name": "anna", "password": "correct horse" });
    for (field, value) in [
        ("domain", json!("nowhere.org")),
        ("domain", json!("a b")),
        ("name", json!("")),
        ("name", json!("anna@example.org")),
        ("name", json!("an:na")),
        ("name", json!("-anna")),
        ("name", json!("x".repeat(65))),
        ("display", json!("")),
        ("display", json!("a\nb")),
        ("password", json!("11 letters!")),
        ("password", json!("x".repeat(129))),
        ("password", json!("correct\u{0}horse")),
        ("password", json!(123_456_789_012_u64)),
        ("realm", json!("x")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = house.post(&house.a.key, "/v1/users", &body).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), [field], "{body}");
    }
    for length in [12, 128] {
        let mut body = good.clone();
        body["name"] = json!(format!("u{length}"));
        body["password"] = json!("\u{e4}".repeat(length));
        house.post(&house.a.key, "/v1/users", &body).await.expect(201);
    }
}

#[tokio::test]
async fn registrations_are_shown_and_forgotten() {
    let house = House::open().await;
    let a = &house.a.key;
    house.domain(house.a.tenant, "example.org").await;
    let user = house.post(a, "/v1/users", &json!({ "domain": "example.org", "name": "anna" })).await.expect(201);
    let path = format!("/v1/users/{}/registrations", user["id"].as_str().unwrap());
    assert_eq!(house.get(a, &path).await.expect(200), json!({ "items": [], "next": null }));
    for contact in ["sip:anna@192.0.2.1:5060;ob", "sip:anna@192.0.2.2", "sip:anna@192.0.2.3"] {
        house.registration(&user, contact);
    }
    let listed = house.get(a, &path).await.expect(200);
    assert_eq!(
        listed["items"][0],
        json!({
            "user": user["id"],
            "contact": "sip:anna@192.0.2.1:5060;ob",
            "instance": "<urn:uuid:0>",
            "reg_id": 1,
            "path": ["<sip:edge.example.org;lr>"],
            "q_permille": 500,
            "transport": "tcp",
            "remote": "192.0.2.7:40000",
            "user_agent": "phone/1",
            "expires": "2027-01-15T08:00:00.000000Z",
        })
    );
    let one = format!("{path}?contact=sip%3Aanna%40192.0.2.1%3A5060%3Bob");
    house.delete(a, &one).await.expect(204);
    house.delete(a, &one).await.refused(404, "not-found");
    assert_eq!(house.get(a, &path).await.expect(200)["items"].as_array().unwrap().len(), 2);
    house.delete(a, &format!("{path}?contcat=x")).await.refused(400, "bad-query");
    assert_eq!(house.memory.state().registrations.len(), 2, "a slip of the pen must not forget all");
    house.delete(a, &path).await.expect(204);
    house.delete(a, &path).await.expect(204);
    assert_eq!(house.get(a, &path).await.expect(200)["items"], json!([]));
    send(house.request(a, Method::POST, &path)).await.refused(405, "method-not-allowed");
}
