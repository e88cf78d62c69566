"""The replica: answers `/Service/Get` with the one id it made when it started."""
