//! Passwords go in and never come out: in no answer, no refusal, no event, no line of a log.

use reqwest::Method;
use serde_json::json;

use crate::house::{House, send};

const SECRET: &str = "Zauberlehrling-1797";

#[tokio::test]
async fn a_password_comes_back_in_nothing_that_is_answered_or_told() {
    let house = House::open().await;
    let (a, operator) = (&house.a.key, &house.operator);
    house.domain(house.a.tenant, "example.org").await;
    let mut answers = Vec::new();

    let user = json!({ "domain": "example.org", "name": "anna", "password": SECRET });
    let made = house.post(a, "/v1/users", &user).await;
    let user_path = made.headers["location"].to_str().unwrap().to_owned();
    answers.push(made);
    // Taken, too long, of the wrong type, where none is known, in a body that breaks off.
    answers.push(house.post(a, "/v1/users", &user).await);
    for password in [json!(SECRET.repeat(10)), json!([SECRET]), json!({ SECRET: SECRET }), json!(format!("{SECRET}\n"))]
    {
        answers.push(
            house.post(a, "/v1/users", &json!({ "domain": "example.org", "name": "b", "password": password })).await,
        );
        answers.push(house.patch(a, &user_path, &json!({ "password": password })).await);
        answers.push(house.post(a, "/v1/trunks", &json!({ "name": "t", "uri": "sip:t", "password": password })).await);
    }
    answers
        .push(house.post(a, "/v1/users", &json!({ "domain": "nowhere.org", "name": "b", "password": SECRET })).await);
    let broken = format!("{{\"domain\": \"example.org\", \"password\": \"{SECRET}\", ");
    let request = house.request(a, Method::POST, "/v1/users").header("content-type", "application/json");
    answers.push(send(request.body(broken)).await);
    answers.push(house.patch(a, &user_path, &json!({ "password": SECRET, "display": "Anna" })).await);

    let trunk = json!({ "name": "carrier", "uri": "sip:carrier.example", "username": "acme", "password": SECRET });
    let made = house.post(a, "/v1/trunks", &trunk).await;
    let trunk_path = made.headers["location"].to_str().unwrap().to_owned();
    answers.push(made);
    answers.push(house.post(a, "/v1/trunks", &trunk).await);
    let put = |revision: &'static str| {
        send(house.request(a, Method::PUT, &trunk_path).header("if-match", revision).json(&trunk))
    };
    answers.extend([put("\"9\"").await, put("*").await]);
    {
        let state = house.memory.state();
        assert_eq!(state.passwords.values().filter(|kept| *kept == SECRET).count(), 2, "they did go in");
    }

    for key in [a, operator] {
        for path in [
            &user_path,
            &trunk_path,
            "/v1/users",
            "/v1/trunks",
            "/v1/domains",
            "/v1/events?limit=500",
            &format!("/v1/tenants/{}", house.a.tenant),
        ] {
            answers.push(house.get(key, path).await);
            assert!(answers.last().unwrap().status.is_success(), "{path}");
        }
    }
    let told = house.get(operator, "/v1/events?limit=500").await.expect(200);
    assert!(told["items"].as_array().unwrap().len() >= 4, "there is something to be found in: {told}");
    assert!(answers.len() >= 30);
    for answer in answers {
        let whole = format!("{answer:?}");
        assert!(!whole.contains(SECRET) && !whole.contains("Zauber"), "{whole}");
    }
}
